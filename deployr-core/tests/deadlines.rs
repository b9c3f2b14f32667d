//! What hangs does not hang the worker: notifiers and handlers of one's own have deadlines.
//! Time is tokio's, and passes as soon as everybody waits for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::engine::{DeployRequest, Engine, EngineBuilder, ProjectRequest};
use deployr_core::error::Fault;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Actor, Job, JobId, JobState};
use deployr_core::notifier::{Notice, Notifier};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{JobQueue, NewJob};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{
    ManualClock, MemoryStore, RecordingNotifier, ScriptedBuilder, ScriptedExecutor, ScriptedSource,
};
use deployr_core::value::{CommitId, GitUrl, JobKind, TenantId};
use deployr_core::worker::Worker;
use tokio::time::Instant;

fn actor() -> Actor {
    Actor::new(TenantId::parse("acme").unwrap(), "ada")
}

/// An engine over parts in memory. The store's clock stands still, so no lease runs out.
fn engine(more: impl FnOnce(EngineBuilder) -> EngineBuilder) -> (Engine, Arc<MemoryStore>, Worker) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let store = Arc::new(MemoryStore::new(clock));
    let commit = CommitId::parse("a".repeat(40)).unwrap();
    let keys = KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap();
    let builder = Engine::builder()
        .store(store.clone())
        .source(Arc::new(ScriptedSource::new(commit)))
        .builder(Arc::new(ScriptedBuilder::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(keys);
    let engine = more(builder).build().unwrap();
    let worker = engine.worker().concurrency(1).spawn();
    (engine, store, worker)
}

/// Waits until it is so, for at most so long.
async fn within(limit: Duration, mut so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < limit, "not after {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct HangingWebhook;

#[async_trait]
impl Notifier for HangingWebhook {
    fn name(&self) -> &str {
        "webhook"
    }

    async fn notify(&self, _: &Notice) -> Result<(), Fault> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_notifier_that_hangs_keeps_neither_the_others_nor_the_next_deployment_waiting() {
    let told = RecordingNotifier::default();
    let (engine, _store, _worker) = engine(|builder| {
        builder
            .notifier(Arc::new(HangingWebhook))
            .notifier(Arc::new(told.clone()))
    });
    let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
    let request = ProjectRequest::new("Blog", url).unwrap();
    let blog = engine.create_project(&actor(), request).await.unwrap();
    let first = engine
        .deploy(&actor(), blog.id, DeployRequest::latest())
        .await
        .unwrap();
    within(Duration::from_secs(60), async || {
        let notices = told.notices();
        notices
            .iter()
            .any(|notice| notice.deployment.id == first.id)
    })
    .await;
    let next = engine
        .deploy(&actor(), blog.id, DeployRequest::latest())
        .await
        .unwrap();
    within(Duration::from_secs(120), async || {
        let next = engine.deployment(&actor(), next.id).await.unwrap();
        next.status.is_final()
    })
    .await;
}

/// Hangs, and says whether it was told to stop.
struct Hanging {
    stopped: Arc<AtomicBool>,
    obeys: bool,
}

#[async_trait]
impl JobHandler for Hanging {
    async fn run(&self, _: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        ctx.stop.cancelled().await;
        self.stopped.store(true, Ordering::Relaxed);
        if self.obeys {
            return Err(JobError::Stopped);
        }
        std::future::pending().await
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(300)
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_passes_its_deadline_is_stopped_and_its_job_fails() {
    for obeys in [true, false] {
        let stopped = Arc::new(AtomicBool::new(false));
        let handler = Hanging {
            stopped: stopped.clone(),
            obeys,
        };
        let (engine, store, _worker) =
            engine(|builder| builder.job_handler("hang", Arc::new(handler)));
        let id = JobId::new(SystemClock.now(), &SystemEntropy);
        let kind = JobKind::parse("hang").unwrap();
        let job = NewJob {
            max_attempts: 1,
            ..NewJob::new(id, kind, serde_json::Value::Null)
        };
        engine.enqueue(&actor(), vec![job]).await.unwrap();
        let started = Instant::now();
        within(Duration::from_secs(400), async || {
            let job = store.job(&actor().tenant, id).await.unwrap();
            job.state == JobState::Failed
        })
        .await;
        assert!(started.elapsed() >= Duration::from_secs(300));
        assert!(stopped.load(Ordering::Relaxed));
        let error = store
            .job(&actor().tenant, id)
            .await
            .unwrap()
            .error
            .unwrap_or_default();
        assert!(error.contains("had not ended after 300 s"), "{error}");
    }
}
