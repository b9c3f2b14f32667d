//! Logs in Postgres: from what a build prints on one node to what a follower sees on another,
//! beside the same lines put into a bare table.

mod bare;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgListener;
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::logs::ours::{self, Place};
use crate::logs::{BURST, Delays, LINES, TICKS, lines, per_second};
use crate::report::{Goal, Row};
use crate::side_by_side::{Case, median, rounds};
use crate::{Error, Rows};

const BENCH: &str = "logs-postgres";

pub(crate) fn run() -> Rows {
    let bench = Bench {
        runtime: Runtime::new()?,
        cluster: Cluster::start(),
    };
    let mut rows = bench.throughput()?;
    rows.push(bench.follow()?);
    Ok(rows)
}

struct Bench {
    runtime: Runtime,
    cluster: Cluster,
}

impl Bench {
    /// Lines a second until all are durable and the follower has seen the last; and how many
    /// notifications there were for each write.
    fn throughput(&self) -> Rows {
        let lines = lines(LINES);
        let output = lines.join("\n") + "\n";
        let mut told = Vec::new();
        let mut flushed = Vec::new();
        let case = |case: &str, unit, goal| Case {
            bench: BENCH,
            case: case.to_owned(),
            unit,
            goal,
        };
        let rate = case("throughput-vs-limit", "lines/s", Goal::RatioAtLeast(0.7)).measure(
            || {
                let mut database = self.cluster.database(&self.runtime)?;
                let ear = self.listen(&database.url)?;
                let place = Place::Postgres(database.url.clone());
                let took = ours::throughput(&place, &output, LINES)?;
                told.push(ear.load(Ordering::Relaxed) as f64);
                // Each write is a transaction of its own.
                let writes = "SELECT count(DISTINCT xmin::text) FROM deployr.log_lines";
                flushed.push(database.number(writes)? as f64);
                per_second(took)
            },
            || {
                let database = self.cluster.database(&self.runtime)?;
                per_second(
                    self.runtime
                        .block_on(bare::throughput(&database.url, &lines))?,
                )
            },
        )?;
        let told = case("notifications-vs-writes", "a round", Goal::RatioAtMost(1.1))
            .row(median(told), median(flushed));
        Ok(vec![rate, told])
    }

    /// Counts notifications.
    fn listen(&self, url: &str) -> Result<Arc<AtomicUsize>, Error> {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let mut listener = self.runtime.block_on(async {
            let mut listener = PgListener::connect(url).await?;
            listener.listen("deployr:deployr").await?;
            Ok::<_, sqlx::Error>(listener)
        })?;
        self.runtime.spawn(async move {
            while listener.try_recv().await.is_ok_and(|told| told.is_some()) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(count)
    }

    /// The 99th percentile of the time from the write of a line to its arrival at the
    /// follower, at 10,000 lines a second.
    fn follow(&self) -> Result<Row, Error> {
        let lines = lines(BURST * TICKS);
        let (mut all_ours, mut all_bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let database = self.cluster.database(&self.runtime)?;
            let place = Place::Postgres(database.url.clone());
            all_ours.push(Delays::of(ours::follow(&place, &lines)?));
            let database = self.cluster.database(&self.runtime)?;
            let bare = self.runtime.block_on(bare::follow(&database.url, &lines))?;
            all_bare.push(Delays::of(bare));
        }
        let middle =
            |delays: &[Delays], of: fn(&Delays) -> f64| median(delays.iter().map(of).collect());
        eprintln!(
            "  {BENCH}/follow: p50 {:.2} ms, the bare reader's {:.2} ms",
            middle(&all_ours, |delays| delays.p50),
            middle(&all_bare, |delays| delays.p50),
        );
        let case = Case {
            bench: BENCH,
            case: "follow-vs-limit".to_owned(),
            unit: "ms (p99)",
            goal: Goal::OursAtMost(50.0),
        };
        Ok(case.row(
            middle(&all_ours, |delays| delays.p99),
            middle(&all_bare, |delays| delays.p99),
        ))
    }
}
