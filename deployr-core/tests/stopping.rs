//! How a job that runs is stopped: by a worker that drains, and by a wish to cancel. Time is
//! tokio's, and passes as soon as everybody waits for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::context::StepContext;
use deployr_core::engine::{DeployRequest, Engine, ProjectRequest};
use deployr_core::error::{StepError, StepResult};
use deployr_core::log::LogStream;
use deployr_core::model::{Actor, Deployment, DeploymentStatus, Job, JobState, Stage};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::source::{Commit, Source, SourceProvider};
use deployr_core::store::{JobQueue, Logs};
use deployr_core::testing::{
    MemoryStore, RuntimeClock, ScriptedBuilder, ScriptedExecutor, ScriptedSource,
};
use deployr_core::value::{CommitId, GitRef, GitUrl, TenantId};
use deployr_core::worker::Worker;
use tokio::time::{Instant, sleep, timeout};

const LEASE: Duration = Duration::from_secs(8);
const HEARTBEAT: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

/// A source that takes `ticks` seconds, and says a line in each.
struct Slow {
    ticks: usize,
    source: ScriptedSource,
}

#[async_trait]
impl SourceProvider for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    async fn resolve(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        for tick in 0..self.ticks {
            let line = format!("tick {tick}\n");
            ctx.log.write(LogStream::Stdout, line.as_bytes()).await;
            tokio::select! {
                () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
                () = sleep(SECOND) => {}
            }
        }
        self.source.resolve(source, reference, ctx).await
    }

    async fn checkout(
        &self,
        source: &Source,
        commit: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.source.checkout(source, commit, folder, ctx).await
    }

    async fn forget(&self, url: &GitUrl) -> StepResult<()> {
        self.source.forget(url).await
    }
}

struct Bench {
    clock: Arc<RuntimeClock>,
    store: Arc<MemoryStore>,
    me: Actor,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(RuntimeClock::default());
        Self {
            store: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            me: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
        }
    }

    /// A node with a bus of its own: no hint reaches it from elsewhere.
    fn node(&self, ticks: usize) -> Engine {
        let commit = CommitId::parse("a".repeat(40)).unwrap();
        let source = ScriptedSource::new(commit);
        Engine::builder()
            .store(self.store.clone())
            .source(Arc::new(Slow { ticks, source }))
            .builder(Arc::new(ScriptedBuilder::default()))
            .executor("local", Arc::new(ScriptedExecutor::default()))
            .clock(self.clock.clone())
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .build()
            .unwrap()
    }

    async fn deploy(&self, engine: &Engine, name: &str) -> Deployment {
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        let request = ProjectRequest::new(name, url).unwrap();
        let project = engine.create_project(&self.me, request).await.unwrap();
        let request = DeployRequest::latest();
        let asked = engine.deploy(&self.me, project.id, request).await;
        asked.unwrap()
    }

    async fn until(
        &self,
        engine: &Engine,
        of: &Deployment,
        wanted: impl Fn(&Deployment) -> bool + Sync,
    ) -> Deployment {
        let look = async {
            loop {
                let found = engine.deployment(&self.me, of.id).await.unwrap();
                if wanted(&found) {
                    return found;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(120), look).await.unwrap()
    }

    async fn at_work(&self, engine: &Engine, of: &Deployment) {
        self.until(engine, of, |one| one.stage == Stage::Checkout)
            .await;
    }

    async fn job(&self, of: &Deployment) -> Job {
        self.store.job(&self.me.tenant, of.job).await.unwrap()
    }

    async fn ticks(&self, of: &Deployment) -> Vec<String> {
        let lines = self.store.read_log(&self.me.tenant, of.id, 0, 1_000).await;
        let lines = lines.unwrap().into_iter();
        let ticks = lines.filter(|line| line.stream == LogStream::Stdout);
        ticks.map(|line| line.text).collect()
    }
}

fn worker(engine: &Engine) -> Worker {
    let worker = engine.worker().lease(LEASE).concurrency(4);
    worker.poll(SECOND).sweep(SECOND).spawn()
}

fn is_over(deployment: &Deployment) -> bool {
    deployment.status.is_final()
}

/// RELIABILITY 24.
#[tokio::test(start_paused = true)]
async fn a_worker_that_drains_finishes_what_it_has_and_takes_no_more() {
    let bench = Bench::new();
    let node = bench.node(40);
    let worker = worker(&node);
    let in_hand = bench.deploy(&node, "one").await;
    bench.at_work(&node, &in_hand).await;

    let draining = tokio::spawn(worker.drain(Duration::from_secs(100)));
    tokio::task::yield_now().await;
    let waiting = bench.deploy(&node, "two").await;
    // Forty seconds are five leases; nobody finds one that has run out.
    while !draining.is_finished() {
        let lost = bench
            .store
            .sweep(Some(Duration::ZERO), SECOND, 10)
            .await
            .unwrap();
        assert!(lost.rescued.is_empty(), "{lost:?}");
        sleep(SECOND).await;
    }

    let ended = bench.until(&node, &in_hand, is_over).await;
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(bench.job(&in_hand).await.attempt, 1);
    let said: Vec<String> = (0..40).map(|tick| format!("tick {tick}")).collect();
    assert_eq!(bench.ticks(&in_hand).await, said);
    let left = bench.job(&waiting).await;
    assert_eq!((left.state, left.fence.0), (JobState::Queued, 0));
}

/// RELIABILITY 24, with less patience than the job needs.
#[tokio::test(start_paused = true)]
async fn after_the_patience_of_a_drain_the_lease_is_given_back_at_once() {
    let bench = Bench::new();
    let first = bench.node(1_000);
    let worker_of_first = worker(&first);
    let asked = bench.deploy(&first, "one").await;
    bench.at_work(&first, &asked).await;

    let start = Instant::now();
    worker_of_first.drain(Duration::from_secs(20)).await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(20) && took < Duration::from_secs(21),
        "{took:?}"
    );
    let job = bench.job(&asked).await;
    let unharmed = (JobState::Queued, 0, None);
    assert_eq!((job.state, job.attempt, job.lease_until), unharmed);

    let start = Instant::now();
    let second = bench.node(1);
    let worker_of_second = worker(&second);
    let ended = bench.until(&second, &asked, is_over).await;
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert!(start.elapsed() < LEASE, "it waited for a lease to run out");
    assert_eq!(bench.job(&asked).await.attempt, 1);
    worker_of_second.drain(SECOND).await;
}

/// RELIABILITY 25.
#[tokio::test(start_paused = true)]
async fn a_wish_to_cancel_reaches_another_node_within_two_heartbeats() {
    let bench = Bench::new();
    let (node, elsewhere) = (bench.node(1_000), bench.node(1));
    let worker = worker(&node);
    let asked = bench.deploy(&node, "one").await;
    bench.at_work(&node, &asked).await;

    let start = Instant::now();
    elsewhere.cancel(&bench.me, asked.id, "no").await.unwrap();
    let ended = bench.until(&elsewhere, &asked, is_over).await;
    let took = start.elapsed();
    assert_eq!(ended.status, DeploymentStatus::Cancelled);
    assert!(took < HEARTBEAT * 2, "{took:?}");
    assert_eq!(bench.job(&asked).await.state, JobState::Cancelled);
    worker.drain(SECOND).await;
}

/// RELIABILITY 25, where the bus reaches the worker: it does not wait for a heartbeat.
#[tokio::test(start_paused = true)]
async fn a_wish_to_cancel_reaches_its_own_node_at_once() {
    let bench = Bench::new();
    let node = bench.node(1_000);
    let worker = worker(&node);
    let asked = bench.deploy(&node, "one").await;
    bench.at_work(&node, &asked).await;

    let start = Instant::now();
    node.cancel(&bench.me, asked.id, "no").await.unwrap();
    bench.until(&node, &asked, is_over).await;
    assert!(start.elapsed() < Duration::from_millis(200));
    worker.drain(SECOND).await;
}
