//! The reference: what one would write by hand for a queue in SQLite and nothing else.
//! As durable as ours (WAL, `synchronous = FULL`) with the same page cache, keeps the rows of
//! finished jobs, and refuses a completion by anybody but the holder; has no keys, attempts,
//! tenants, deployments or sweeps, and checks nothing that it stores.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::rate;
use crate::Error;

const SCHEMA: &str = "
    CREATE TABLE jobs (
        id          BLOB    NOT NULL PRIMARY KEY,
        kind        TEXT    NOT NULL,
        input       TEXT    NOT NULL,
        state       INTEGER NOT NULL DEFAULT 0,
        run_at      INTEGER NOT NULL,
        fence       INTEGER NOT NULL DEFAULT 0,
        lease_until INTEGER,
        finished_at INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX jobs_claimable ON jobs (run_at, id) WHERE state = 0;";
const INSERT: &str = "INSERT INTO jobs (id, kind, input, run_at) VALUES (?1, ?2, ?3, ?4)";
const CLAIM: &str = "UPDATE jobs SET state = 1, fence = fence + 1, lease_until = ?2
    WHERE id IN (
        SELECT id FROM jobs WHERE state = 0 AND run_at <= ?1 ORDER BY run_at, id LIMIT ?3
    )
    RETURNING id, kind, input, fence";
const COMPLETE: &str = "UPDATE jobs SET state = 2, finished_at = ?3
    WHERE id = ?1 AND fence = ?2 AND state = 1";

/// When the loop commits.
#[derive(Clone, Copy)]
pub(super) enum Commits {
    /// After each batch that it has enqueued, claimed or completed.
    EachStep,
    /// After each batch that it has enqueued, and after each that it has completed
    /// together with claiming the next.
    Fused,
}

/// A connection, and a thread that does one thing after the other.
pub(super) struct Bare {
    db: Connection,
}

/// A job in hand.
struct Claimed {
    id: Uuid,
    fence: i64,
}

impl Bare {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        // As ours has them.
        db.pragma_update(None, "cache_size", -32_000)?;
        db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db })
    }

    /// Enqueues jobs, then claims and completes them; gives jobs a second.
    pub(super) fn round(&self, jobs: usize, batch: usize, commits: Commits) -> Result<f64, Error> {
        let began = Instant::now();
        for _ in 0..jobs / batch {
            self.transact(|| self.enqueue(batch))?;
        }
        let mut held = Vec::new();
        let mut done = 0;
        while done < jobs {
            done += held.len();
            held = match commits {
                Commits::Fused => self.transact(|| {
                    self.complete(&held)?;
                    self.claim(batch)
                })?,
                Commits::EachStep => {
                    if !held.is_empty() {
                        self.transact(|| self.complete(&held))?;
                    }
                    self.transact(|| self.claim(batch))?
                }
            };
        }
        Ok(rate(jobs, began))
    }

    /// Enqueues one job.
    pub(super) fn enqueue_one(&self) -> Result<(), Error> {
        self.transact(|| self.enqueue(1))
    }

    /// Claims one job.
    pub(super) fn claim_one(&self) -> Result<bool, Error> {
        Ok(!self.transact(|| self.claim(1))?.is_empty())
    }

    fn transact<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = work()?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    }

    fn enqueue(&self, batch: usize) -> Result<(), Error> {
        let mut insert = self.db.prepare_cached(INSERT)?;
        for _ in 0..batch {
            insert.execute(params![Uuid::now_v7(), "noop", "{}", now()])?;
        }
        Ok(())
    }

    fn claim(&self, batch: usize) -> Result<Vec<Claimed>, Error> {
        let mut claim = self.db.prepare_cached(CLAIM)?;
        let now = now();
        let mut rows = claim.query(params![now, now + 60_000_000, batch as i64])?;
        let mut claimed = Vec::with_capacity(batch);
        while let Some(row) = rows.next()? {
            // What a handler would be given.
            let (_kind, _input): (String, String) = (row.get(1)?, row.get(2)?);
            claimed.push(Claimed {
                id: row.get(0)?,
                fence: row.get(3)?,
            });
        }
        Ok(claimed)
    }

    fn complete(&self, held: &[Claimed]) -> Result<(), Error> {
        let mut complete = self.db.prepare_cached(COMPLETE)?;
        for job in held {
            if complete.execute(params![job.id, job.fence, now()])? != 1 {
                return Err("the job was lost".into());
            }
        }
        Ok(())
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_micros() as i64)
}
