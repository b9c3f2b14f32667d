//! The job queue in Postgres, beside a hand-written loop and the queues that Rust users would
//! pick instead. Workers are processes of their own; each round of each has a new database.

mod bare;
mod history;
mod ours;
mod peers;
mod race;
mod start;

use std::collections::BTreeMap;
use std::process::Command;

use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::report::{Goal, Row};
use crate::side_by_side::{Case, median, rounds};
use crate::{Error, Rows};
use peers::{Peer, Peers};
use race::race;

const BENCH: &str = "queue-postgres";

/// Jobs of a round.
const JOBS: usize = 50_000;
/// Of the one that is slower by far.
const APALIS_JOBS: usize = 20_000;
/// Jobs that are enqueued in one call.
const BATCH: usize = 1_000;

/// Worker processes, and the jobs that each carries out at a time.
const POINTS: [(usize, u32); 5] = [(1, 1), (1, 8), (1, 16), (2, 8), (4, 8)];

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    /// 8 connections, each with batches of 100, wherever the others are.
    Limit,
    Peer(Peer),
}

const ALL: [Who; 4] = [
    Who::Ours,
    Who::Limit,
    Who::Peer(Peer::Graphile),
    Who::Peer(Peer::Apalis),
];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Limit => "limit",
            Self::Peer(peer) => peer.name(),
        }
    }
}

pub(crate) fn run() -> Rows {
    let bench = Bench {
        runtime: Runtime::new()?,
        peers: Peers::build()?,
        cluster: Cluster::start(),
    };
    let mut rows = Vec::new();
    let mut enqueued = Figures::default();
    for (processes, concurrency) in POINTS {
        rows.extend(bench.point(processes, concurrency, &mut enqueued)?);
    }
    rows.extend(enqueued.rows(&format!("enqueue-{BATCH}"), |who| match who {
        Who::Limit => Goal::RatioAtLeast(0.5),
        _ => Goal::RatioAtLeast(1.0),
    }));
    rows.extend(start::rows(&bench)?);
    rows.extend(history::rows(&bench)?);
    Ok(rows)
}

/// What is there for all of it.
struct Bench {
    runtime: Runtime,
    peers: Peers,
    cluster: Cluster,
}

/// What each has reached, a second.
#[derive(Default)]
struct Figures(BTreeMap<&'static str, Vec<f64>>);

impl Figures {
    fn add(&mut self, who: Who, figure: f64) {
        self.0.entry(who.name()).or_default().push(figure);
    }

    fn median(&self, who: Who) -> f64 {
        median(self.0.get(who.name()).cloned().unwrap_or_default())
    }

    /// Ours beside each of the others.
    fn rows(&self, name: &str, goal: impl Fn(Who) -> Goal) -> Vec<Row> {
        let others = ALL.into_iter().filter(|who| *who != Who::Ours);
        let row = |other: Who| {
            let case = Case {
                bench: BENCH,
                case: format!("{name}-vs-{}", other.name()),
                unit: "jobs/s",
                goal: goal(other),
            };
            case.row(self.median(Who::Ours), self.median(other))
        };
        others.map(row).collect()
    }
}

impl Bench {
    /// Jobs a second with so many worker processes.
    fn point(
        &self,
        processes: usize,
        concurrency: u32,
        enqueued: &mut Figures,
    ) -> Result<Vec<Row>, Error> {
        let mut done = Figures::default();
        for round in 0..rounds() {
            for n in 0..ALL.len() {
                let who = ALL[(round + n) % ALL.len()];
                let (enqueue, run) = self.round(who, processes, concurrency)?;
                enqueued.add(who, enqueue);
                done.add(who, run);
            }
        }
        let name = match processes {
            1 => format!("jobs-{concurrency}"),
            _ => format!("jobs-{processes}x{concurrency}"),
        };
        Ok(done.rows(&name, |who| match who {
            Who::Limit if (processes, concurrency) == (1, 8) => Goal::RatioAtLeast(0.9),
            Who::Limit => Goal::None,
            _ => Goal::RatioAtLeast(1.0),
        }))
    }

    /// How many jobs a second are enqueued, and then carried out.
    fn round(&self, who: Who, processes: usize, concurrency: u32) -> Result<(f64, f64), Error> {
        let mut database = self.cluster.database(&self.runtime)?;
        let url = database.url.clone();
        let jobs = match who {
            Who::Peer(Peer::Apalis) => APALIS_JOBS,
            _ => JOBS,
        };
        let seconds = match who {
            Who::Ours => self.runtime.block_on(ours::enqueue(&url, jobs, BATCH))?,
            Who::Limit => {
                database.execute(bare::SCHEMA)?;
                self.runtime.block_on(bare::enqueue(&url, jobs, BATCH))?
            }
            Who::Peer(peer) => {
                let args = ["enqueue", &url, &jobs.to_string(), &BATCH.to_string()];
                let numbers = self.peers.numbers(peer, &args)?;
                *numbers.first().ok_or("the peer has printed nothing")?
            }
        };
        database.settle()?;
        let concurrency = concurrency.to_string();
        let mut workers = Vec::new();
        for _ in 0..processes {
            workers.push(match who {
                Who::Ours => child(&["ours", &url, &concurrency])?,
                Who::Limit => child(&["limit", &url, "8", "100"])?,
                Who::Peer(peer) => self.peers.command(peer, &["run", &url, &concurrency]),
            });
            // The limit is the same wherever the others are.
            if who == Who::Limit {
                break;
            }
        }
        let left = match who {
            Who::Ours => ours::LEFT,
            Who::Limit => bare::LEFT,
            Who::Peer(peer) => peer.left(),
        };
        let took = race(&mut workers, jobs, || database.number(left))?;
        Ok((jobs as f64 / seconds, jobs as f64 / took.as_secs_f64()))
    }
}

/// This program, as a worker.
fn child(args: &[&str]) -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(crate::CHILD).args(args);
    Ok(command)
}

/// What this program does as a worker; does not end by itself.
pub(crate) fn work(args: &[String]) -> Result<(), Error> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = Runtime::new()?;
    match args.as_slice() {
        ["ours", url, concurrency] => runtime.block_on(ours::work(url, concurrency.parse()?)),
        ["limit", url, connections, batch] => {
            runtime.block_on(bare::work(url, connections.parse()?, batch.parse()?))
        }
        _ => Err(format!("no such worker: {args:?}").into()),
    }
}
