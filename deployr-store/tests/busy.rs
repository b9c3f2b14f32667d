//! Jobs that take all the time of the runtime's threads: their leases are kept all the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "others use the rest")]
#[path = "support/server.rs"]
mod place;
#[allow(dead_code, reason = "others use the rest")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Job, JobState};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::Store;
use deployr_core::system::SystemClock;
use deployr_core::testing::{MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource};
use deployr_core::value::CommitId;
use deployr_core::worker::Worker;
use deployr_store::{PgOptions, PgStore, SqliteStore};
use tokio::runtime::{Builder, Runtime};

use place::{schema, url};
use support::{new_job, tenant};

/// Longer than a machine with much else to do keeps a thread waiting.
const LEASE: Duration = Duration::from_secs(3);

/// Holds its thread, until somebody else does the job too or that would have come to pass.
#[derive(Default)]
struct Busy {
    runs: AtomicUsize,
}

#[async_trait]
impl JobHandler for Busy {
    async fn run(&self, _: &Job, _: &JobContext) -> Result<Done, JobError> {
        if self.runs.fetch_add(1, Ordering::SeqCst) == 0 {
            let start = Instant::now();
            // A lease, its grace, and the pause before the next attempt.
            while self.runs.load(Ordering::SeqCst) == 1 && start.elapsed() < LEASE * 3 {
                thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(Done::Completed)
    }
}

/// One thread for all jobs, and for whatever else is to be done.
fn runtime() -> Runtime {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
}

fn worker(store: Arc<dyn Store>, handler: &Arc<Busy>) -> Worker {
    let engine = Engine::builder()
        .store(store)
        .source(Arc::new(ScriptedSource::new(
            CommitId::parse("a".repeat(40)).unwrap(),
        )))
        .builder(Arc::new(ScriptedBuilder::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .job_handler("work", handler.clone())
        .build()
        .unwrap();
    let often = Duration::from_millis(20);
    engine
        .worker()
        .lease(LEASE)
        .poll(often)
        .sweep(often)
        .spawn()
}

/// `open` opens the same store each time.
fn a_busy_worker_keeps_its_lease<F>(open: impl Fn() -> F)
where
    F: Future<Output = Arc<dyn Store>>,
{
    let (busy, other, handler) = (runtime(), runtime(), Arc::new(Busy::default()));
    let job = busy.block_on(async {
        let store = open().await;
        let job = store.enqueue(&tenant("acme"), new_job()).await.unwrap();
        let _worker = worker(store, &handler);
        job.id
    });
    while handler.runs.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let job = other.block_on(async {
        let store = open().await;
        let _worker = worker(store.clone(), &handler);
        let start = Instant::now();
        loop {
            let job = store.job(&tenant("acme"), job).await.unwrap();
            if job.state.is_final() {
                return job;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{job:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!((job.state, job.attempt), (JobState::Completed, 1));
    assert_eq!(handler.runs.load(Ordering::SeqCst), 1);
    busy.shutdown_background();
    other.shutdown_background();
}

#[test]
fn over_memory() {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    a_busy_worker_keeps_its_lease(|| async { store.clone() as Arc<dyn Store> });
}

#[test]
fn over_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deployr.db");
    a_busy_worker_keeps_its_lease(|| async {
        Arc::new(SqliteStore::open(&file).await.unwrap()) as Arc<dyn Store>
    });
}

#[test]
fn over_postgres() {
    let schema = schema();
    a_busy_worker_keeps_its_lease(|| async {
        // One connection, which is of no use to others as long as its runtime is busy.
        let options = PgOptions {
            schema: schema.clone(),
            pool: PgOptions::default().pool.max_connections(1),
        };
        let store = PgStore::open_with(url(), options).await.unwrap();
        Arc::new(store) as Arc<dyn Store>
    });
}
