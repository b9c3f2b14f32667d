//! What the worker processes did, and what must never be in there.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

/// The tables of the test, beside those of the store. Nothing in them is ever changed. All
/// times are the database's.
pub(crate) const TABLES: &str = "
    CREATE FUNCTION micros() RETURNS bigint LANGUAGE sql
        AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;
    CREATE TABLE ledger (
        seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job    uuid   NOT NULL,
        fence  bigint NOT NULL,
        worker text   NOT NULL,
        event  text   NOT NULL,
        at     bigint NOT NULL DEFAULT micros(),
        UNIQUE (job, fence, worker, event)
    );
    CREATE TABLE deaths (worker text PRIMARY KEY, at bigint NOT NULL DEFAULT micros());
    CREATE TABLE tries (
        job    uuid   NOT NULL,
        fence  bigint NOT NULL,
        worker text   NOT NULL,
        answer text   NOT NULL,
        round  bigint NOT NULL,
        at     bigint NOT NULL DEFAULT micros()
    );
    CREATE TABLE ends (job uuid NOT NULL, state text NOT NULL);
    CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO ends VALUES (NEW.id, NEW.state); RETURN NULL; END $$;
    CREATE TRIGGER note_end AFTER UPDATE OF state ON jobs FOR EACH ROW
        WHEN (NEW.state IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION note_end();
";

/// One claim of a job, as it was carried out: from when to when, in microseconds. One that
/// has not ended was cut off by the death of its worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) fence: i64,
    pub(crate) worker: String,
    pub(crate) began: i64,
    pub(crate) over: Option<i64>,
    /// Whether its work was done, and not only stopped.
    pub(crate) done: bool,
}

/// A job, as the store has it in the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) job: String,
    pub(crate) state: String,
    pub(crate) fence: i64,
    pub(crate) attempt: i32,
    pub(crate) max_attempts: i32,
    /// How often it came to a final state.
    pub(crate) ends: i64,
}

/// What is in the database.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order in which they were written down.
    pub(crate) runs: Vec<Run>,
    pub(crate) ends: Vec<End>,
}

impl Ledger {
    pub(crate) async fn read(db: &mut PgConnection) -> Self {
        let runs = "
            SELECT began.job::text, began.fence, began.worker, began.at,
                   coalesce(over.at, deaths.at), over.event = 'done'
            FROM ledger AS began
            LEFT JOIN ledger AS over ON over.job = began.job AND over.fence = began.fence
                AND over.worker = began.worker AND over.event <> 'began'
            LEFT JOIN deaths ON deaths.worker = began.worker
            WHERE began.event = 'began' ORDER BY began.seq";
        let ends = "
            SELECT id::text, state, fence, attempt, max_attempts,
                   (SELECT count(*) FROM ends WHERE ends.job = jobs.id)
            FROM jobs ORDER BY id";
        let runs = db.fetch_all(runs).await.unwrap();
        let ends = db.fetch_all(ends).await.unwrap();
        let run = |row: &sqlx::postgres::PgRow| Run {
            job: row.get(0),
            fence: row.get(1),
            worker: row.get(2),
            began: row.get(3),
            over: row.get(4),
            done: row.get::<Option<bool>, _>(5).unwrap_or(false),
        };
        let end = |row: &sqlx::postgres::PgRow| End {
            job: row.get(0),
            state: row.get(1),
            fence: row.get(2),
            attempt: row.get(3),
            max_attempts: row.get(4),
            ends: row.get(5),
        };
        Self {
            runs: runs.iter().map(run).collect(),
            ends: ends.iter().map(end).collect(),
        }
    }

    /// How many jobs were begun more than once.
    pub(crate) fn run_again(&self) -> usize {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &self.runs {
            *times.entry(&run.job).or_default() += 1;
        }
        times.values().filter(|times| **times > 1).count()
    }

    /// Everything that must never be. RELIABILITY's numbers, where it has some.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut of: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for run in &self.runs {
            of.entry(&run.job).or_default().push(run);
        }
        let mut wrong = Vec::new();
        for end in &self.ends {
            let job = &end.job;
            let runs = of.remove(job.as_str()).unwrap_or_default();
            if end.state != "completed" {
                wrong.push(format!("[8] {job} is {}", end.state));
            }
            if end.ends != 1 {
                wrong.push(format!("[8] {job} came to an end {} times", end.ends));
            }
            if end.attempt > end.max_attempts {
                wrong.push(format!("[28] {job} was tried {} times", end.attempt));
            }
            let last = runs.last();
            if !last.is_some_and(|last| last.done && last.fence == end.fence) {
                wrong.push(format!(
                    "[8] the last claim of {job} did not do it: {runs:?}"
                ));
            }
            for pair in runs.windows(2) {
                if pair[0].fence >= pair[1].fence {
                    wrong.push(format!("[2] a fence that does not rise: {pair:?}"));
                }
                if pair[0].over.is_none_or(|over| over > pair[1].began) {
                    wrong.push(format!("[1] two at a time: {pair:?}"));
                }
            }
        }
        wrong.extend(of.keys().map(|job| format!("nobody knows of {job}")));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Ledger {
        let run = |fence, began, over, done| Run {
            job: "a".to_owned(),
            fence,
            worker: format!("w{fence}"),
            began,
            over: Some(over),
            done,
        };
        let end = End {
            job: "a".to_owned(),
            state: "completed".to_owned(),
            fence: 3,
            attempt: 2,
            max_attempts: 2,
            ends: 1,
        };
        Ledger {
            runs: vec![run(1, 10, 20, false), run(3, 30, 40, true)],
            ends: vec![end],
        }
    }

    #[test]
    fn the_ledger_is_judged() {
        assert_eq!(good().wrong(), Vec::<String>::new());
        type Spoil = fn(&mut Ledger);
        let bad: [(&str, Spoil); 10] = [
            ("two at a time", |ledger| ledger.runs[0].over = Some(31)),
            ("two at a time", |ledger| ledger.runs[0].over = None),
            ("does not rise", |ledger| ledger.runs[0].fence = 3),
            ("did not do it", |ledger| ledger.runs[1].done = false),
            ("did not do it", |ledger| ledger.runs.clear()),
            ("did not do it", |ledger| ledger.ends[0].fence = 4),
            ("to an end 2 times", |ledger| ledger.ends[0].ends = 2),
            ("is running", |ledger| {
                ledger.ends[0].state = "running".to_owned()
            }),
            ("was tried", |ledger| ledger.ends[0].max_attempts = 1),
            ("nobody knows", |ledger| ledger.ends.clear()),
        ];
        for (word, spoil) in bad {
            let mut ledger = good();
            spoil(&mut ledger);
            let wrong = ledger.wrong();
            assert!(
                wrong.iter().any(|one| one.contains(word)),
                "{word}: {wrong:?}"
            );
        }
    }
}
