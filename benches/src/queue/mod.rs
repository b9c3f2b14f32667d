//! The job queue in SQLite, beside what SQLite gives a hand-written loop.

mod bare;
mod engine;
mod start;
mod store;

use std::time::Instant;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::report::{Goal, Row};
use crate::side_by_side::Case;
use crate::{Error, Rows};
use bare::{Bare, Commits};
pub(crate) use start::BareWorker;
use store::Ours;
pub(crate) use store::new_job;

const BENCH: &str = "queue";
const WORKERS: [usize; 3] = [1, 8, 16];

pub(crate) fn run() -> Rows {
    let runtime = Runtime::new()?;
    let mut rows = Vec::new();
    for workers in WORKERS {
        rows.push(batched(&runtime, workers)?);
    }
    rows.push(fused(&runtime, 8)?);
    for workers in WORKERS {
        rows.push(single(&runtime, workers)?);
    }
    rows.push(engine::worker(&runtime)?);
    rows.extend(start::rows(&runtime)?);
    Ok(rows)
}

/// Batches of 100, beside a loop that commits after each of its three steps.
fn batched(runtime: &Runtime, workers: usize) -> Result<Row, Error> {
    let case = Case {
        bench: BENCH,
        case: format!("sqlite-{workers}"),
        unit: "jobs/s",
        goal: Goal::RatioAtLeast(0.8),
    };
    compare(case, runtime, workers, 100, Commits::EachStep)
}

/// As [`batched`], beside a loop that knows the trick of ours: it completes a batch and
/// claims the next in one transaction.
fn fused(runtime: &Runtime, workers: usize) -> Result<Row, Error> {
    let case = Case {
        bench: BENCH,
        case: format!("sqlite-{workers}-fused"),
        unit: "jobs/s",
        goal: Goal::None,
    };
    compare(case, runtime, workers, 100, Commits::Fused)
}

/// A job a call, beside a loop that does one job at a time.
fn single(runtime: &Runtime, workers: usize) -> Result<Row, Error> {
    let case = Case {
        bench: BENCH,
        case: format!("sqlite-{workers}-single"),
        unit: "jobs/s",
        goal: match workers {
            1 => Goal::None,
            _ => Goal::RatioAtLeast(1.0),
        },
    };
    compare(case, runtime, workers, 1, Commits::Fused)
}

fn compare(
    case: Case,
    runtime: &Runtime,
    workers: usize,
    batch: usize,
    commits: Commits,
) -> Result<Row, Error> {
    let jobs = if batch == 1 { 2_000 } else { 200 * batch };
    let folder = folder()?;
    let bare = Bare::open(&folder.path().join("bare.db"))?;
    let ours = Ours::open(runtime, &folder.path().join("ours.db"))?;
    case.measure(
        || ours.round(jobs, batch, workers),
        || bare.round(jobs, batch, commits),
    )
}

/// A folder for one case's databases. Both grow with each round, and keep all their rows.
fn folder() -> Result<TempDir, Error> {
    Ok(tempfile::tempdir()?)
}

/// Jobs a second.
fn rate(jobs: usize, began: Instant) -> f64 {
    jobs as f64 / began.elapsed().as_secs_f64()
}
