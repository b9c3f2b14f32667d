//! How a worker hands in what is done. Time is tokio's, and passes as soon as everybody
//! waits for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Actor, Job, JobId, JobState, Limit};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{ClaimRequest, JobQueue, NewJob};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{
    FaultPlan, ManualClock, MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource, Strike,
};
use deployr_core::value::{CommitId, ConcurrencyKey, JobKind, TenantId};
use deployr_core::worker::Worker;
use tokio::time::Instant;

/// Counts its runs; has the calls that follow on the first struck.
struct Short {
    runs: AtomicUsize,
    plan: FaultPlan,
    then: Vec<Strike>,
}

#[async_trait]
impl JobHandler for Short {
    async fn run(&self, _: &Job, _: &JobContext) -> Result<Done, JobError> {
        if self.runs.fetch_add(1, Ordering::Relaxed) == 0 {
            for (n, strike) in self.then.iter().enumerate() {
                self.plan.strike(self.plan.count() + 1 + n, *strike);
            }
        }
        Ok(Done::Completed)
    }
}

struct Bench {
    plan: FaultPlan,
    store: Arc<MemoryStore>,
    handler: Arc<Short>,
    engine: Engine,
    actor: Actor,
}

impl Bench {
    /// An engine over parts in memory. The store's clock stands still, so no lease runs
    /// out, and a job that is not handed in stays as it is for ever.
    fn new(then: &[Strike]) -> Self {
        let plan = FaultPlan::default();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = Arc::new(MemoryStore::new(clock));
        let handler = Arc::new(Short {
            runs: AtomicUsize::new(0),
            plan: plan.clone(),
            then: then.to_vec(),
        });
        let commit = CommitId::parse("a".repeat(40)).unwrap();
        let engine = Engine::builder()
            .store(Arc::new(plan.wrap(store.clone())))
            .source(Arc::new(ScriptedSource::new(commit)))
            .builder(Arc::new(ScriptedBuilder::default()))
            .executor("local", Arc::new(ScriptedExecutor::default()))
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .job_handler("short", handler.clone())
            .build()
            .unwrap();
        Self {
            plan,
            store,
            handler,
            engine,
            actor: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
        }
    }

    /// Enqueues so many jobs of one key, or of none.
    async fn enqueue(&self, jobs: usize, key: Option<&str>) -> Vec<JobId> {
        let new = || NewJob {
            limits: key
                .map(|key| Limit::one(ConcurrencyKey::parse(key).unwrap()))
                .into_iter()
                .collect(),
            max_attempts: 1,
            ..NewJob::new(
                JobId::new(SystemClock.now(), &SystemEntropy),
                JobKind::parse("short").unwrap(),
                serde_json::Value::Null,
            )
        };
        let new = (0..jobs).map(|_| new()).collect();
        let jobs = self.engine.enqueue(&self.actor, new).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    }

    /// A worker that asks for jobs only when it has a reason to.
    fn worker(&self) -> Worker {
        let worker = self.engine.worker().concurrency(8);
        worker.poll(Duration::from_secs(3_600)).spawn()
    }

    async fn all_completed(&self, jobs: &[JobId]) -> bool {
        for id in jobs {
            let job = self.store.job(&self.actor.tenant, *id).await.unwrap();
            if job.state != JobState::Completed {
                return false;
            }
        }
        true
    }

    async fn until_completed(&self, jobs: &[JobId]) {
        let start = Instant::now();
        while !self.all_completed(jobs).await {
            assert!(start.elapsed() < Duration::from_secs(60), "in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The calls that claimed jobs or handed some in.
    fn exchanges(&self) -> Vec<&'static str> {
        let mut calls = self.plan.calls();
        calls.retain(|call| ["claim", "complete", "exchange"].contains(call));
        calls
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_that_end_together_are_handed_in_together_with_the_next_claim() {
    let bench = Bench::new(&[]);
    let jobs = bench.enqueue(80, None).await;
    let worker = bench.worker();
    bench.until_completed(&jobs).await;
    assert_eq!(bench.handler.runs.load(Ordering::Relaxed), 80);
    let calls = bench.exchanges();
    assert!(calls.len() <= 20, "for 80 jobs, 8 at a time: {calls:?}");
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_done_is_handed_in_until_the_store_takes_it() {
    let bench = Bench::new(&[Strike::Before, Strike::After, Strike::Before]);
    let jobs = bench.enqueue(1, None).await;
    let worker = bench.worker();
    bench.until_completed(&jobs).await;
    worker.drain(Duration::from_secs(60)).await;
    assert_eq!(bench.handler.runs.load(Ordering::Relaxed), 1, "run once");
    let calls = [&["claim", "exchange"], &["complete"; 3][..]].concat();
    assert_eq!(
        bench.exchanges()[..5],
        calls,
        "trouble with claims must not hold it up"
    );
}

#[tokio::test(start_paused = true)]
async fn after_trouble_with_the_store_the_jobs_that_wait_get_their_turn() {
    let bench = Bench::new(&[Strike::Before]);
    let jobs = bench.enqueue(20, None).await;
    let worker = bench.worker();
    bench.until_completed(&jobs).await;
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_drains_hands_in_what_is_done() {
    let bench = Bench::new(&[Strike::Before; 5]);
    let jobs = bench.enqueue(3, None).await;
    let worker = bench.worker();
    while bench.handler.runs.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    worker.drain(Duration::from_secs(60)).await;
    assert!(bench.all_completed(&jobs).await);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_job_makes_way_for_the_next_of_its_key() {
    let bench = Bench::new(&[]);
    let jobs = bench.enqueue(5, Some("one-at-a-time")).await;
    let worker = bench.worker();
    bench.until_completed(&jobs).await;
    worker.drain(Duration::from_secs(1)).await;
}

/// The store's clock stands still: what is not found stays as it is for ever.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_found_and_carried_out_once() {
    let bench = Bench::new(&[]);
    let jobs = bench.enqueue(3, None).await;
    for lost in [1, 2] {
        bench.plan.strike(bench.plan.count() + lost, Strike::After);
    }
    let worker = bench.worker();
    bench.until_completed(&jobs).await;
    assert_eq!(bench.exchanges()[0], "claim");
    assert_eq!(bench.handler.runs.load(Ordering::Relaxed), 3);
    for id in jobs {
        let job = bench.store.job(&bench.actor.tenant, id).await.unwrap();
        assert_eq!(job.attempt, 1);
    }
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_the_store_gets_to_later_is_found_too() {
    let bench = Bench::new(&[]);
    bench.plan.strike(1, Strike::Before);
    let worker = bench.worker();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let new = NewJob::new(
        JobId::new(SystemClock.now(), &SystemEntropy),
        JobKind::parse("short").unwrap(),
        serde_json::Value::Null,
    );
    let tenant = &bench.actor.tenant;
    let job = bench.store.enqueue(tenant, new).await.unwrap().id;
    let request = ClaimRequest {
        worker: worker.id(),
        kinds: vec![JobKind::parse("short").unwrap()],
        offers: Default::default(),
        limit: 1,
        term: Duration::from_secs(60),
    };
    assert_eq!(bench.store.claim(request).await.unwrap().len(), 1);
    bench.until_completed(&[job]).await;
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_leaves_no_claim_whose_answer_was_lost() {
    let bench = Bench::new(&[]);
    let jobs = bench.enqueue(1, None).await;
    bench.plan.strike(bench.plan.count() + 1, Strike::After);
    let worker = bench.worker();
    while bench.exchanges().is_empty() {
        tokio::task::yield_now().await;
    }
    worker.drain(Duration::ZERO).await;
    let job = bench.store.job(&bench.actor.tenant, jobs[0]).await.unwrap();
    assert_eq!((job.state, job.attempt), (JobState::Queued, 0));
    assert_eq!(bench.handler.runs.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_not_called_all_the_time() {
    let bench = Bench::new(&[Strike::Before; 2_000]);
    bench.enqueue(1, None).await;
    let _worker = bench.worker();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let calls = bench.plan.count();
    assert!(calls < 300, "{calls} calls in a minute");
}
