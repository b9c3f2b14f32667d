//! An engine whose jobs do nothing, and what comes through its worker.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deployr_core::bus::LocalBus;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Actor, Job};
use deployr_core::value::{JobKind, TenantId};
use deployr_store::SqliteStore;
use tokio::runtime::Runtime;

use super::bare::{Bare, Commits};
use super::store::new_job;
use super::{BENCH, folder, rate};
use crate::Error;
use crate::engine::engine;
use crate::report::{Goal, Row};
use crate::side_by_side::Case;

/// An engine over SQLite, with handlers that tell when they were entered.
pub(super) struct Site<'r> {
    runtime: &'r Runtime,
    pub(super) engine: Engine,
    pub(super) starts: Receiver<Instant>,
    actor: Actor,
    kind: JobKind,
}

impl<'r> Site<'r> {
    pub(super) fn open(runtime: &'r Runtime, folder: &Path) -> Result<Self, Error> {
        let (entered, starts) = channel();
        let store = runtime.block_on(SqliteStore::open(folder.join("ours.db")))?;
        let bus = Arc::new(LocalBus::default());
        let engine = engine(Arc::new(store), bus, folder)?;
        let engine = engine
            .job_handler("noop", Arc::new(Noop(entered)))
            .build()?;
        Ok(Self {
            runtime,
            engine,
            starts,
            actor: Actor::new(TenantId::parse("bench")?, "bench"),
            kind: JobKind::parse("noop")?,
        })
    }

    pub(super) fn enqueue(&self, jobs: usize) -> Result<(), Error> {
        let new = (0..jobs).map(|_| new_job(&self.kind)).collect();
        self.runtime
            .block_on(self.engine.enqueue(&self.actor, new))?;
        Ok(())
    }

    /// Enqueues jobs, and has a worker carry them out; gives jobs a second.
    fn round(&self, jobs: usize, batch: usize) -> Result<f64, Error> {
        let began = Instant::now();
        for _ in 0..jobs / batch {
            self.enqueue(batch)?;
        }
        let worker = self
            .runtime
            .block_on(async { self.engine.worker().concurrency(8).spawn() });
        for _ in 0..jobs {
            self.starts.recv_timeout(Duration::from_secs(10))?;
        }
        // Until the last of them is completed.
        self.runtime.block_on(worker.drain(Duration::from_secs(10)));
        let rate = rate(jobs, began);
        let left = self.runtime.block_on(self.engine.queue_stats())?;
        match left.queued + left.running {
            0 => Ok(rate),
            left => Err(format!("{left} jobs are left").into()),
        }
    }
}

struct Noop(Sender<Instant>);

#[async_trait]
impl JobHandler for Noop {
    async fn run(&self, _job: &Job, _ctx: &JobContext) -> Result<Done, JobError> {
        // Nobody listens any more once the bench is over.
        let _ = self.0.send(Instant::now());
        Ok(Done::Completed)
    }

    fn short(&self) -> bool {
        true
    }
}

/// Jobs that a worker of concurrency 8 carries out, enqueued in batches of 100.
pub(super) fn worker(runtime: &Runtime) -> Result<Row, Error> {
    const JOBS: usize = 5_000;
    let folder = folder()?;
    let bare = Bare::open(&folder.path().join("bare.db"))?;
    let site = Site::open(runtime, folder.path())?;
    let case = Case {
        bench: BENCH,
        case: "sqlite-worker-8".to_owned(),
        unit: "jobs/s",
        goal: Goal::None,
    };
    case.measure(
        || site.round(JOBS, 100),
        || bare.round(JOBS, 100, Commits::EachStep),
    )
}
