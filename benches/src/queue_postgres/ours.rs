//! Ours: an engine over `PgStore`, and its worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Actor, Job};
use deployr_core::store::JobQueue;
use deployr_core::value::{JobKind, TenantId};
use deployr_store::PgStore;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::race::{HANDLED, on_your_marks, tell};
use crate::Error;
use crate::engine::engine;
use crate::queue::new_job;

pub(super) const LEFT: &str =
    "SELECT count(*) FROM deployr.jobs WHERE state IN ('pending', 'queued', 'running')";

/// Enqueues jobs; gives the seconds that it took.
pub(super) async fn enqueue(url: &str, jobs: usize, batch: usize) -> Result<f64, Error> {
    let store = PgStore::open(url).await?;
    let (tenant, kind) = (TenantId::parse("bench")?, JobKind::parse("noop")?);
    let began = Instant::now();
    for _ in 0..jobs / batch {
        let new = (0..batch).map(|_| new_job(&kind)).collect();
        store.enqueue_all(&tenant, new).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// A short job that does nothing but to be counted, and to tell when it began.
struct Noop(UnboundedSender<Instant>);

#[async_trait]
impl JobHandler for Noop {
    async fn run(&self, _job: &Job, _ctx: &JobContext) -> Result<Done, JobError> {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        // Mostly, nobody listens.
        let _ = self.0.send(Instant::now());
        Ok(Done::Completed)
    }

    fn short(&self) -> bool {
        true
    }
}

async fn node(url: &str, starts: UnboundedSender<Instant>) -> Result<(Engine, TempDir), Error> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(PgStore::open(url).await?);
    let bus = Arc::new(store.bus().await?);
    let engine = engine(store, bus, folder.path())?;
    let engine = engine.job_handler("noop", Arc::new(Noop(starts))).build()?;
    Ok((engine, folder))
}

/// A worker process.
pub(super) async fn work(url: &str, concurrency: u32) -> Result<(), Error> {
    let (starts, _) = unbounded_channel();
    let (engine, _folder) = node(url, starts).await?;
    on_your_marks()?;
    std::thread::spawn(|| tell());
    let _worker = engine.worker().concurrency(concurrency).spawn();
    std::future::pending().await
}

/// From enqueueing on one node until the handler begins on `other`, or on the same; each in
/// ms.
pub(super) async fn latency(url: &str, samples: usize, other: bool) -> Result<Vec<f64>, Error> {
    let (sender, mut starts) = unbounded_channel();
    let (here, _folder) = node(url, sender.clone()).await?;
    let (there, _folder) = node(url, sender).await?;
    let worker = if other { &there } else { &here };
    let worker = worker.worker().concurrency(8).spawn();
    let actor = Actor::new(TenantId::parse("bench")?, "bench");
    let kind = JobKind::parse("noop")?;
    let mut taken = Vec::new();
    for sample in 0..samples + 10 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let began = Instant::now();
        here.enqueue(&actor, vec![new_job(&kind)]).await?;
        let started = starts.recv().await.ok_or("the worker is gone")?;
        if sample >= 10 {
            taken.push(started.duration_since(began).as_secs_f64() * 1e3);
        }
    }
    worker.drain(Duration::from_secs(10)).await;
    Ok(taken)
}
