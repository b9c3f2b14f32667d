//! How long it takes from the call that enqueues a job to its handler, on an idle queue.

use super::peers::Peer;
use super::{ALL, BENCH, Bench, Figures, Who, bare, ours};
use crate::report::Goal;
use crate::side_by_side::{Case, percentile, rounds};
use crate::{Error, Rows};

/// Jobs of a round, 15 ms apart.
const SAMPLES: usize = 100;

/// What the median is to be below, in ms; and the 99th percentile.
const GOALS: [(usize, f64); 2] = [(50, 1.5), (99, 5.0)];

pub(super) fn rows(bench: &Bench) -> Rows {
    let mut measured = Vec::new();
    let mut same_node = Vec::new();
    for n in 0..rounds() {
        for turn in 0..ALL.len() {
            let who = ALL[(n + turn) % ALL.len()];
            measured.push((who, bench.latencies(who)?));
        }
        let database = bench.cluster.database(&bench.runtime)?;
        let samples = ours::latency(&database.url, SAMPLES, false);
        same_node.push(bench.runtime.block_on(samples)?);
    }
    let mut rows = Vec::new();
    for (percent, most) in GOALS {
        let mut figures = Figures::default();
        for (who, samples) in &measured {
            figures.add(*who, percentile(samples, percent));
        }
        let ours = figures.median(Who::Ours);
        let here = same_node.iter().map(|samples| percentile(samples, percent));
        let here = crate::side_by_side::median(here.collect());
        let case = |name: String, goal| Case {
            bench: BENCH,
            case: name,
            unit: "ms",
            goal,
        };
        let limit = figures.median(Who::Limit);
        let name = format!("start-p{percent}-vs-limit");
        rows.push(case(name, Goal::OursAtMost(most)).row(ours, limit));
        for peer in [Peer::Graphile, Peer::Apalis] {
            let name = format!("start-p{percent}-vs-{}", peer.name());
            let theirs = figures.median(Who::Peer(peer));
            rows.push(case(name, Goal::RatioAtMost(1.0)).row(ours, theirs));
        }
        let name = format!("start-same-node-p{percent}-vs-limit");
        rows.push(case(name, Goal::None).row(here, limit));
    }
    Ok(rows)
}

impl Bench {
    /// In ms, one for each job.
    fn latencies(&self, who: Who) -> Result<Vec<f64>, Error> {
        let mut database = self.cluster.database(&self.runtime)?;
        let url = database.url.clone();
        match who {
            Who::Ours => self.runtime.block_on(ours::latency(&url, SAMPLES, true)),
            Who::Limit => {
                database.execute(bare::SCHEMA)?;
                self.runtime.block_on(bare::latency(&url, SAMPLES))
            }
            Who::Peer(peer) => {
                let args = ["latency", &url, &SAMPLES.to_string()];
                self.peers.numbers(peer, &args)
            }
        }
    }
}
