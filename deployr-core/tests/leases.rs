//! How a worker holds on to its jobs, and when it lets go of them. Time is tokio's, and
//! passes as soon as everybody waits for it; the store's clock stands still.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler, StopReason};
use deployr_core::model::{Actor, Job, JobId, JobState, Labels, WorkerId};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{ClaimRequest, JobQueue, NewJob};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{
    FaultPlan, ManualClock, MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource, Strike,
};
use deployr_core::value::{CommitId, JobKind, TenantId};
use tokio::sync::mpsc;
use tokio::time::Instant;

const TERM: Duration = Duration::from_secs(60);

/// Tells when it begins, and works until it is told to stop, or not at all.
struct Long {
    began: mpsc::UnboundedSender<JobContext>,
    stops_unasked: bool,
}

#[async_trait]
impl JobHandler for Long {
    async fn run(&self, _: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let _ = self.began.send(ctx.clone());
        if !self.stops_unasked {
            ctx.stop.cancelled().await;
        }
        Err(JobError::Stopped)
    }
}

struct Bench {
    plan: FaultPlan,
    store: Arc<MemoryStore>,
    engine: Engine,
    actor: Actor,
    began: mpsc::UnboundedReceiver<JobContext>,
}

impl Bench {
    fn new(stops_unasked: bool) -> Self {
        let plan = FaultPlan::default();
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::new(
            SystemClock.now(),
        ))));
        let (sender, began) = mpsc::unbounded_channel();
        let handler = Long {
            began: sender,
            stops_unasked,
        };
        let engine = Engine::builder()
            .store(Arc::new(plan.wrap(store.clone())))
            .source(Arc::new(ScriptedSource::new(
                CommitId::parse("a".repeat(40)).unwrap(),
            )))
            .builder(Arc::new(ScriptedBuilder::default()))
            .executor("local", Arc::new(ScriptedExecutor::default()))
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .job_handler("long", Arc::new(handler))
            .build()
            .unwrap();
        Self {
            plan,
            store,
            engine,
            actor: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
            began,
        }
    }

    async fn enqueue(&self) -> JobId {
        let new = NewJob {
            limits: Vec::new(),
            max_attempts: 3,
            ..NewJob::new(
                JobId::new(SystemClock.now(), &SystemEntropy),
                JobKind::parse("long").unwrap(),
                serde_json::Value::Null,
            )
        };
        let jobs = self.engine.enqueue(&self.actor, vec![new]).await.unwrap();
        jobs[0].id
    }

    async fn job(&self, id: JobId) -> Job {
        self.store.job(&self.actor.tenant, id).await.unwrap()
    }

    /// From now on every call to the store meets with this.
    fn strike_all(&self, strike: Strike) {
        let next = self.plan.count() + 1;
        for n in next..next + 1_000 {
            self.plan.strike(n, strike);
        }
    }

    async fn begun(&mut self) -> JobContext {
        tokio::time::timeout(Duration::from_secs(5), self.began.recv())
            .await
            .expect("the job begins at once")
            .unwrap()
    }
}

/// How long after its claim a job is given up when the store meets every call so.
async fn given_up_after(strike: Strike) -> Duration {
    let mut bench = Bench::new(false);
    bench.enqueue().await;
    let _worker = bench.engine.worker().lease(TERM).spawn();
    let job = bench.begun().await;
    let claimed = Instant::now();
    bench.strike_all(strike);
    job.stop.cancelled().await;
    assert_eq!(job.stop_reason(), Some(StopReason::Lost));
    claimed.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_job_is_given_up_well_before_its_lease_ends_also_when_the_store_hangs() {
    for strike in [Strike::Before, Strike::HangBefore] {
        let after = given_up_after(strike).await;
        assert!(
            after >= TERM / 2 && after <= TERM * 5 / 6,
            "{strike:?}: given up after {after:?} of {TERM:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_with_the_store_is_told_from_its_first_failure_until_it_is_over() {
    let mut bench = Bench::new(false);
    bench.enqueue().await;
    let _worker = bench.engine.worker().lease(TERM).spawn();
    let job = bench.begun().await;
    assert!(bench.engine.store_trouble().is_none());
    bench.strike_all(Strike::Before);
    job.stop.cancelled().await;
    let trouble = bench.engine.store_trouble().expect("told");
    assert!(trouble.since.elapsed() > TERM / 3, "{trouble:?}");
    assert!(trouble.error.contains("struck by a test"), "{trouble:?}");
    bench.plan.reset();
    bench.enqueue().await;
    bench.begun().await;
    assert!(bench.engine.store_trouble().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_alone_takes_over_at_once_and_another_waits_for_the_lease() {
    for alone in [true, false] {
        let mut bench = Bench::new(false);
        let id = bench.enqueue().await;
        let dead = ClaimRequest {
            worker: WorkerId::new(SystemClock.now(), &SystemEntropy),
            kinds: vec![JobKind::parse("long").unwrap()],
            limit: 1,
            offers: Labels::new(),
            term: TERM,
        };
        let lost = bench.store.claim(dead).await.unwrap().remove(0).claim;
        let worker = bench.engine.worker().alone(alone).spawn();
        // Its lease never ends: the store's clock stands still.
        tokio::time::sleep(TERM * 10).await;
        let job = bench.job(id).await;
        if alone {
            assert_eq!(job.state, JobState::Pending, "for its next attempt");
            assert!(bench.store.complete(&lost).await.is_err(), "it is not its");
        } else {
            assert_eq!(job.state, JobState::Running);
            assert!(bench.began.try_recv().is_err());
        }
        worker.drain(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_claimed_while_all_were_being_stopped_is_stopped_too() {
    let mut bench = Bench::new(false);
    let worker = bench.engine.worker().lease(TERM).spawn();
    // The claim that the hint of this job leads to is answered when nobody is waited for
    // any more.
    bench.plan.strike(
        bench.plan.count() + 2,
        Strike::Delay(Duration::from_secs(2)),
    );
    let id = bench.enqueue().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let drained = tokio::time::timeout(TERM, worker.drain(Duration::ZERO)).await;
    assert!(drained.is_ok(), "the job went on");
    let job = bench.begun().await;
    assert_eq!(job.stop_reason(), Some(StopReason::Shutdown));
    let job = bench.job(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Queued, 0), "unharmed");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_stops_unasked_uses_up_an_attempt() {
    let mut bench = Bench::new(true);
    let id = bench.enqueue().await;
    let worker = bench.engine.worker().spawn();
    bench.begun().await;
    worker.drain(Duration::from_secs(5)).await;
    let job = bench.job(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Pending, 1));
    assert!(job.error.unwrap().contains("without having been told"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_stopped_for_want_of_an_answer_costs_no_attempt() {
    let mut bench = Bench::new(false);
    let id = bench.enqueue().await;
    let _worker = bench.engine.worker().lease(TERM).spawn();
    bench.begun().await;
    bench.strike_all(Strike::Before);
    tokio::time::sleep(TERM * 3).await;
    bench.plan.reset();
    // The store's clock stands still: nobody takes the job from this worker.
    let again = bench.begun().await;
    assert_eq!(again.claim.job, id);
    let job = bench.job(id).await;
    assert_eq!((job.attempt, job.fence.0), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_job_in_hand_is_not_begun_again_when_a_claim_was_not_answered() {
    let mut bench = Bench::new(false);
    let first = bench.enqueue().await;
    let worker = bench.engine.worker().lease(TERM).spawn();
    assert_eq!(bench.begun().await.claim.job, first);
    // Heartbeats come later than this.
    let second = bench.enqueue().await;
    bench.plan.strike(bench.plan.count() + 1, Strike::After);
    assert_eq!(bench.begun().await.claim.job, second);
    assert!(
        bench.plan.calls().contains(&"held"),
        "{:?}",
        bench.plan.calls()
    );
    tokio::time::sleep(TERM * 2).await;
    assert!(bench.began.try_recv().is_err(), "begun twice");
    worker.drain(Duration::ZERO).await;
}
