//! How long it takes from the call that enqueues a job to its handler, on an idle engine.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::bare::Bare;
use super::engine::Site;
use super::{BENCH, folder};
use crate::report::Goal;
use crate::side_by_side::{Case, median, rounds};
use crate::{Error, Rows};

/// Jobs of a round, and the pause before each.
const SAMPLES: usize = 100;
const IDLE: Duration = Duration::from_millis(5);

/// Percentiles of a round, in milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
}

pub(super) fn rows(runtime: &Runtime) -> Rows {
    let folder = folder()?;
    let site = Site::open(runtime, folder.path())?;
    let worker = runtime.block_on(async { site.engine.worker().concurrency(8).spawn() });
    let bare = BareWorker::spawn(&folder.path().join("bare.db"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        ours.push(latency(|| site.enqueue(1), &site.starts)?);
        theirs.push(latency(|| bare.enqueue(), &bare.starts)?);
    }
    runtime.block_on(worker.drain(Duration::from_secs(10)));
    let row = |name: &str, goal, of: fn(&Latency) -> f64| {
        let figure = |rounds: &[Latency]| median(rounds.iter().map(of).collect());
        let case = Case {
            bench: BENCH,
            case: name.to_owned(),
            unit: "ms",
            goal,
        };
        case.row(figure(&ours), figure(&theirs))
    };
    Ok(vec![
        row("sqlite-start", Goal::OursAtMost(1.0), |round| round.p50),
        row("sqlite-start-p99", Goal::None, |round| round.p99),
    ])
}

/// A round: one job after the other, each when the last has long begun.
fn latency(
    enqueue: impl Fn() -> Result<(), Error>,
    starts: &Receiver<Instant>,
) -> Result<Latency, Error> {
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        thread::sleep(IDLE);
        let began = Instant::now();
        enqueue()?;
        let started = starts.recv_timeout(Duration::from_secs(10))?;
        samples.push(started.duration_since(began).as_secs_f64() * 1e3);
    }
    samples.sort_by(f64::total_cmp);
    let at = |percent: usize| samples.get(samples.len() * percent / 100).copied();
    Ok(Latency {
        p50: at(50).unwrap_or(f64::NAN),
        p99: at(99).unwrap_or(f64::NAN),
    })
}

/// The reference: a thread that sleeps until somebody has committed a job, and claims it.
pub(crate) struct BareWorker {
    shared: Arc<(Mutex<(Bare, bool)>, Condvar)>,
    pub(crate) starts: Receiver<Instant>,
}

impl BareWorker {
    /// The thread ends when the process does.
    pub(crate) fn spawn(path: &Path) -> Result<Self, Error> {
        let shared = Arc::new((Mutex::new((Bare::open(path)?, false)), Condvar::new()));
        let (entered, starts) = channel();
        let queue = Arc::clone(&shared);
        thread::spawn(move || {
            let (queue, wake) = &*queue;
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                queue = wake
                    .wait_while(queue, |(_, jobs)| !*jobs)
                    .unwrap_or_else(PoisonError::into_inner);
                queue.1 = false;
                if !queue.0.claim_one().is_ok_and(|claimed| claimed)
                    || entered.send(Instant::now()).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self { shared, starts })
    }

    pub(crate) fn enqueue(&self) -> Result<(), Error> {
        let (queue, wake) = &*self.shared;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.0.enqueue_one()?;
        queue.1 = true;
        wake.notify_one();
        Ok(())
    }
}
