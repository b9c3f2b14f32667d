//! Short jobs are claimed before there is a slot for them; others never are. Time is tokio's,
//! and passes as soon as everybody waits for it; the store's clock stands still.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::bus::{EventBus, Hint, LocalBus};
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Actor, Job, JobId, JobState};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{JobQueue, NewJob};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{
    FaultPlan, ManualClock, MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource,
};
use deployr_core::value::{CommitId, JobKind, TenantId};
use deployr_core::worker::WorkerBuilder;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

const LEASE: Duration = Duration::from_secs(60);

/// Tells when a job begins, and ends it when there is leave to.
struct Stepwise {
    short: bool,
    began: mpsc::UnboundedSender<JobId>,
    leave: Arc<Semaphore>,
}

#[async_trait]
impl JobHandler for Stepwise {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let _ = self.began.send(job.id);
        tokio::select! {
            leave = self.leave.acquire() => leave.unwrap().forget(),
            () = ctx.stop.cancelled() => return Err(JobError::Stopped),
        }
        Ok(Done::Completed)
    }

    fn short(&self) -> bool {
        self.short
    }
}

struct Bench {
    plan: FaultPlan,
    bus: Arc<LocalBus>,
    store: Arc<MemoryStore>,
    engine: Engine,
    actor: Actor,
    began: mpsc::UnboundedReceiver<JobId>,
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Bench {
    fn new() -> Self {
        let plan = FaultPlan::default();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = Arc::new(MemoryStore::new(clock));
        let (sender, began) = mpsc::unbounded_channel();
        let handler = |short, leave: &Arc<Semaphore>| {
            Arc::new(Stepwise {
                short,
                began: sender.clone(),
                leave: leave.clone(),
            })
        };
        let (short, long) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let commit = CommitId::parse("a".repeat(40)).unwrap();
        let bus = Arc::new(LocalBus::default());
        let engine = Engine::builder()
            .bus(bus.clone())
            .store(Arc::new(plan.wrap(store.clone())))
            .source(Arc::new(ScriptedSource::new(commit)))
            .builder(Arc::new(ScriptedBuilder::default()))
            .executor("local", Arc::new(ScriptedExecutor::default()))
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .job_handler("short", handler(true, &short))
            .job_handler("long", handler(false, &long))
            .build()
            .unwrap();
        Self {
            plan,
            bus,
            store,
            engine,
            actor: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
            began,
            short,
            long,
        }
    }

    async fn enqueue(&self, kind: &str, jobs: usize) -> Vec<JobId> {
        let new = || {
            NewJob::new(
                JobId::new(SystemClock.now(), &SystemEntropy),
                JobKind::parse(kind).unwrap(),
                serde_json::Value::Null,
            )
        };
        let new = (0..jobs).map(|_| new()).collect();
        let jobs = self.engine.enqueue(&self.actor, new).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    }

    /// A worker that asks for jobs only when it has a reason to.
    fn worker(&self, concurrency: u32) -> WorkerBuilder {
        let worker = self.engine.worker().concurrency(concurrency).lease(LEASE);
        worker.poll(Duration::from_secs(3_600))
    }

    async fn in_state(&self, jobs: &[JobId], state: JobState) -> usize {
        let mut count = 0;
        for id in jobs {
            let job = self.store.job(&self.actor.tenant, *id).await.unwrap();
            count += usize::from(job.state == state);
        }
        count
    }

    /// Waits until so many of the jobs are in that state.
    async fn until(&self, jobs: &[JobId], state: JobState, count: usize) {
        let start = Instant::now();
        while self.in_state(jobs, state).await != count {
            assert!(start.elapsed() < LEASE, "{count} of them {state:?} in time");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many have begun since this was last asked.
    fn begun(&mut self) -> usize {
        std::iter::from_fn(|| self.began.try_recv().ok()).count()
    }
}

/// Long enough for all that a worker does by itself.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test(start_paused = true)]
async fn short_jobs_cost_a_call_for_many() {
    let bench = Bench::new();
    bench.short.add_permits(1_000);
    let jobs = bench.enqueue("short", 1_000).await;
    let worker = bench.worker(8).spawn();
    bench.until(&jobs, JobState::Completed, 1_000).await;
    let mut calls = bench.plan.calls();
    calls.retain(|call| ["claim", "complete", "exchange"].contains(call));
    assert!(calls.len() < 30, "for 1,000 jobs: {calls:?}");
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_ahead_is_begun_in_order_when_a_slot_gets_free() {
    let mut bench = Bench::new();
    let jobs = bench.enqueue("short", 10).await;
    let worker = bench.worker(1).ahead(4).spawn();
    for job in &jobs {
        assert_eq!(bench.began.recv().await, Some(*job));
        settle().await;
        assert!(bench.began.try_recv().is_err(), "one slot");
        bench.short.add_permits(1);
    }
    bench.until(&jobs, JobState::Completed, 10).await;
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_short_is_never_claimed_before_a_slot_is_free() {
    let mut bench = Bench::new();
    let long = bench.enqueue("long", 20).await;
    let short = bench.enqueue("short", 200).await;
    let worker = bench.worker(4).spawn();
    for _ in 0..200 {
        settle().await;
        let claimed = bench.in_state(&long, JobState::Running).await;
        let done = bench.in_state(&long, JobState::Completed).await;
        let mut begun = bench.begun();
        assert!(claimed <= 4, "{claimed} claimed for four slots");
        let held = bench.in_state(&short, JobState::Running).await;
        assert!(claimed < 4 || held == 0, "{held} held behind others");
        bench.long.add_permits(usize::from(done < 20));
        bench.short.add_permits(10);
        settle().await;
        begun += bench.begun();
        if begun == 0 {
            break;
        }
    }
    bench.until(&long, JobState::Completed, 20).await;
    bench.until(&short, JobState::Completed, 200).await;
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_short_jobs_does_not_keep_others_out() {
    for concurrency in [1, 4] {
        let bench = Bench::new();
        let short = bench.enqueue("short", 1_000).await;
        let new = bench.enqueue("long", 1).await;
        bench.long.add_permits(1);
        let worker = bench.worker(concurrency).ahead(50).spawn();
        // A millisecond each.
        let mut waited = 0;
        while bench.in_state(&new, JobState::Completed).await == 0 {
            bench.short.add_permits(1);
            tokio::time::sleep(Duration::from_millis(1)).await;
            waited += 1;
            assert!(waited < 500, "{concurrency}");
        }
        assert!(bench.in_state(&short, JobState::Queued).await > 100);
        worker.drain(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_drains_hands_back_what_it_has_not_begun() {
    let mut bench = Bench::new();
    let jobs = bench.enqueue("short", 20).await;
    let worker = bench.worker(2).spawn();
    settle().await;
    let held = bench.in_state(&jobs, JobState::Running).await;
    assert!(held > 2, "some were claimed ahead: {held}");
    let drain = tokio::spawn(worker.drain(LEASE));
    settle().await;
    assert_eq!(bench.in_state(&jobs, JobState::Running).await, 2);
    assert!(!drain.is_finished(), "two are in hand");
    bench.short.add_permits(2);
    drain.await.unwrap();
    assert_eq!(bench.begun(), 2);
    assert_eq!(bench.in_state(&jobs, JobState::Completed).await, 2);
    for id in &jobs[2..] {
        let job = bench.store.job(&bench.actor.tenant, *id).await.unwrap();
        assert_eq!((job.state, job.attempt), (JobState::Queued, 0), "unharmed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_lease_is_lost_before_it_is_begun_is_not_begun() {
    let mut bench = Bench::new();
    let jobs = bench.enqueue("short", 4).await;
    let worker = bench.worker(1).spawn();
    settle().await;
    assert_eq!(bench.in_state(&jobs, JobState::Running).await, 3);
    // Another node takes them for a dead worker's, and a heartbeat tells.
    let (rescue, limit) = (Duration::from_secs(3_600), 10);
    bench.store.sweep(None, rescue, limit).await.unwrap();
    bench.bus.publish(Hint::Cancel);
    settle().await;
    bench.short.add_permits(10);
    settle().await;
    assert_eq!(bench.in_state(&jobs, JobState::Pending).await, 3);
    assert_eq!(bench.in_state(&jobs, JobState::Completed).await, 1);
    assert_eq!(
        bench.begun(),
        2,
        "the first, and the one that was still queued"
    );
    worker.drain(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_job_that_is_not_so_short_is_handed_back() {
    let mut bench = Bench::new();
    let jobs = bench.enqueue("short", 10).await;
    let worker = bench.worker(1).spawn();
    settle().await;
    assert_eq!(bench.in_state(&jobs, JobState::Running).await, 3);
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(bench.in_state(&jobs, JobState::Running).await, 1);
    assert_eq!(bench.begun(), 1);
    bench.short.add_permits(10);
    bench.until(&jobs, JobState::Completed, 10).await;
    worker.drain(Duration::ZERO).await;
}
