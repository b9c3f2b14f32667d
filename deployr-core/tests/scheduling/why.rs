//! Why a job waits.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::engine::{Engine, Reason};
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Actor, Job, JobId, JobState, Limit};
use deployr_core::store::{Due, JobQueue, NewJob, WorkerReport, Workers};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{ManualClock, MemoryStore};
use deployr_core::value::{ConcurrencyKey, JobKind, Label, TenantId};
use deployr_core::worker::Worker;

use crate::a_while;

/// Runs until it is told to stop.
struct Endless;

#[async_trait]
impl JobHandler for Endless {
    async fn run(&self, _: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        ctx.stop.cancelled().await;
        Err(JobError::Stopped)
    }
}

struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    engine: Engine,
    actor: Actor,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let engine = crate::engine(&store);
        let engine = engine
            .job_handler("endless", Arc::new(Endless))
            .build()
            .unwrap();
        let actor = crate::ada();
        Self {
            clock,
            store,
            engine,
            actor,
        }
    }

    async fn enqueue(&self, change: impl FnOnce(&mut NewJob)) -> JobId {
        let id = JobId::new(SystemClock.now(), &SystemEntropy);
        let mut new = NewJob::new(id, kind("endless"), serde_json::json!({}));
        change(&mut new);
        self.engine.enqueue(&self.actor, vec![new]).await.unwrap();
        id
    }

    async fn why(&self, job: JobId) -> Vec<Reason> {
        let why = self.engine.why(&self.actor.tenant, job).await.unwrap();
        assert_eq!(why.job.id, job);
        why.reasons
    }

    async fn told(&self, job: JobId) -> String {
        let reasons = self.why(job).await;
        let reasons: Vec<_> = reasons.iter().map(Reason::to_string).collect();
        reasons.join("; ")
    }

    /// A worker with one place, once it is in the register and has what there is to do.
    async fn worker(&self) -> Worker {
        let worker = self.engine.worker().node("eu-1").concurrency(1).spawn();
        a_while().await;
        worker
    }
}

fn kind(name: &str) -> JobKind {
    JobKind::parse(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_can_begin_says_what_is_missing() {
    let b = Bench::new();
    let job = b.enqueue(|_| {}).await;
    let none = "no worker carries out jobs of the kind `endless`, of 0 that live";
    assert_eq!(b.told(job).await, none);

    let worker = b.worker().await;
    let gpu = Label::parse("gpu").unwrap();
    let picky = b.enqueue(|new| new.needs = [gpu].into()).await;
    assert_eq!(
        b.told(picky).await,
        "no worker carries out jobs of the kind `endless` and offers gpu, of 1 that live"
    );
    worker.drain(Duration::ZERO).await;
    assert_eq!(
        b.told(job).await,
        none,
        "it has taken its name off the list"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_lost_is_not_counted_on() {
    let b = Bench::new();
    let report = WorkerReport {
        id: deployr_core::model::WorkerId::new(b.clock.now(), &SystemEntropy),
        node: "eu-9".into(),
        version: "0".into(),
        kinds: [kind("endless")].into(),
        offers: Default::default(),
        concurrency: 2,
        held: 0,
        lease: Duration::from_secs(20),
    };
    b.store.report_worker(report).await.unwrap();
    let job = b.enqueue(|_| {}).await;
    assert_eq!(b.why(job).await, [Reason::Ready]);
    b.clock.advance(Duration::from_secs(21));
    assert!(b.told(job).await.ends_with("of 0 that live"));
}

#[tokio::test(start_paused = true)]
async fn a_job_says_who_has_it_who_is_before_it_and_that_all_are_busy() {
    let b = Bench::new();
    let first = b.enqueue(|_| {}).await;
    let worker = b.worker().await;
    assert_eq!(b.told(first).await, "it runs on eu-1, attempt 1");

    let second = b.enqueue(|_| {}).await;
    let third = b.enqueue(|_| {}).await;
    a_while().await;
    let busy = "every worker that could begin it is busy (there are 1, with 1 places)";
    assert_eq!(b.told(second).await, busy);
    assert_eq!(
        b.told(third).await,
        format!("jobs that come before it: 1; {busy}")
    );

    b.engine.pause(&kind("endless"), true).await.unwrap();
    let paused = "jobs of the kind `endless` are paused";
    assert_eq!(b.told(second).await, format!("{paused}; {busy}"));
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_due_or_has_no_room_says_so() {
    let b = Bench::new();
    let one = Limit::one(ConcurrencyKey::parse("server:eu").unwrap());
    let first = b.enqueue(|new| new.limits = vec![one.clone()]).await;
    let second = b.enqueue(|new| new.limits = vec![one.clone()]).await;
    let worker = b.worker().await;
    assert_eq!(
        b.told(second).await,
        format!("`server:eu` has room for 1 at a time, and 1 have it: {first}")
    );

    let later = b
        .enqueue(|new| new.due = Due::After(Duration::from_secs(3_600)))
        .await;
    let job = b.store.job(&b.actor.tenant, later).await.unwrap();
    let at = job.run_at;
    assert_eq!(b.why(later).await, [Reason::NotDue { at, error: None }]);

    let stranger = TenantId::parse("other").unwrap();
    assert!(b.engine.why(&stranger, later).await.is_err());
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_over_says_how_it_ended() {
    let b = Bench::new();
    let late = b
        .enqueue(|new| new.start_within = Duration::from_secs(1))
        .await;
    b.engine.pause(&kind("endless"), true).await.unwrap();
    b.clock.advance(Duration::from_secs(2));
    let worker = b.worker().await;
    let state = JobState::Failed;
    assert_eq!(b.why(late).await, [Reason::Over { state }]);
    worker.drain(Duration::ZERO).await;
}
