//! A call whose answer is lost after it was done, and that is made again: it says the same,
//! and nothing is done twice. A claim leaves no lease that nobody knows of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "others use the rest")]
#[path = "support/server.rs"]
mod place;
#[path = "support/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "others use the rest")]
mod support;

use std::fmt::Debug;
use std::time::Duration;

use deployr_core::log::LogStream;
use deployr_core::model::{
    Actor, Claim, HealthCheck, Job, JobState, Recipe, ReleaseId, Runtime, Stage, WorkerId,
};
use deployr_core::secret::Sealed;
use deployr_core::store::{
    Beat, ClaimRequest, Deployments, JobFault, JobQueue, Logs, NewJob, NewLine, NewRelease,
    Outcome, Releases, StoreError, StoreResult,
};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{CommitId, Framework, JobKind, OutputDir, TargetName};
use deployr_store::{PgOptions, PgStore};
use deployr_testkit::postgres::Postgres;
use sqlx::{AssertSqlSafe, Executor, Row};

use place::{raw, run, schema, url};
use proxy::Proxy;
use support::{TERM, limit, new_deployment, new_job, project, tenant};

/// All that a call can change.
const TABLES: [&str; 8] = [
    "jobs",
    "job_keys",
    "deployments",
    "stages",
    "releases",
    "log_lines",
    "audit",
    "paused",
];

struct Bench {
    proxy: Proxy,
    /// By way of the proxy.
    store: PgStore,
    schema: String,
    worker: WorkerId,
}

impl Bench {
    async fn new() -> Self {
        let (schema, port) = (schema(), Postgres::shared().port());
        let proxy = Proxy::before(port).await;
        let options = PgOptions {
            schema: schema.clone(),
            ..PgOptions::default()
        };
        let store = PgStore::open_with(&proxy.way_to(url(), port), options).await;
        Self {
            proxy,
            store: store.unwrap(),
            schema,
            worker: WorkerId::new(SystemClock.now(), &SystemEntropy),
        }
    }

    /// Every row, as text.
    async fn rows(&self) -> Vec<String> {
        let mut db = raw(&self.schema).await;
        let mut rows = Vec::new();
        for table in TABLES {
            let sql = format!("SELECT row::text FROM {table} AS row ORDER BY 1");
            let found = db.fetch_all(AssertSqlSafe(sql)).await.unwrap();
            rows.extend(
                found
                    .iter()
                    .map(|row| format!("{table} {}", row.get::<&str, _>(0))),
            );
        }
        rows
    }

    /// Makes a call whose `n`-th commit is not answered.
    async fn lose<T: Debug>(&self, n: usize, call: impl Future<Output = StoreResult<T>>) {
        let (before, lost) = (self.rows().await, self.proxy.lost());
        self.proxy.lose(n);
        let error = call.await.expect_err("nobody answers");
        assert!(error.retryable(), "{error:?}");
        assert_eq!(self.proxy.lost(), lost + 1, "{error:?}");
        assert_ne!(self.rows().await, before, "it was done");
    }

    /// Makes a call whose first answer is lost again; gives what it says then.
    async fn again<T: Debug>(&self, call: impl AsyncFn() -> StoreResult<T>) -> StoreResult<T> {
        self.lose(1, call()).await;
        let rows = self.rows().await;
        let answer = call().await;
        assert_eq!(self.rows().await, rows, "it is done once");
        answer
    }

    async fn enqueue(&self, jobs: usize) {
        let new = (0..jobs).map(|_| new_job()).collect();
        let added = self.store.enqueue_all(&tenant("acme"), new).await;
        assert_eq!(added.unwrap().len(), jobs);
    }

    fn request(&self, limit: u32) -> ClaimRequest {
        ClaimRequest {
            worker: self.worker,
            kinds: vec![JobKind::parse("work").unwrap()],
            offers: Default::default(),
            limit,
            term: TERM,
        }
    }

    async fn claim(&self) -> Claim {
        let leases = self.store.claim(self.request(1)).await.unwrap();
        leases[0].claim
    }

    /// The claims that the store says are this worker's.
    async fn held(&self) -> Vec<Claim> {
        let jobs = self.store.held(self.worker).await.unwrap();
        let worker = self.worker;
        let claim = |job: &Job| Claim {
            job: job.id,
            fence: job.fence,
            worker,
        };
        jobs.iter().map(claim).collect()
    }
}

fn recipe() -> Recipe {
    Recipe {
        framework: Framework::parse("static").unwrap(),
        root: None,
        commands: Vec::new(),
        output: OutputDir::parse("dist").unwrap(),
        runtime: Runtime::Static { single_page: false },
        health: HealthCheck::default(),
        shared: Vec::new(),
        writable: Vec::new(),
        on_target: Default::default(),
        images: Default::default(),
    }
}

/// What looks like a sealed text, which no store opens.
fn sealed() -> Sealed {
    let header = [1, 2, b'k', b'1'];
    Sealed::from_bytes([&header[..], &[7; 24 + 16 + 4]].concat()).unwrap()
}

fn fault(retry_after: Option<Duration>) -> JobFault {
    JobFault {
        error: "the network is down".to_owned(),
        retry_after,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_enqueued_is_known() {
    let b = Bench::new().await;
    let new = vec![
        new_job(),
        NewJob {
            limits: vec![limit("k", 1)],
            ..new_job()
        },
    ];
    let (acme, first) = (tenant("acme"), new[0].id.to_string());
    let answer = b
        .again(async || b.store.enqueue_all(&acme, new.clone()).await)
        .await;
    assert!(matches!(answer, Err(StoreError::Conflict { key, .. }) if key == first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_told_of_the_claims_it_has_not_heard_of() {
    let b = Bench::new().await;
    b.enqueue(3).await;
    b.lose(1, b.store.claim(b.request(2))).await;
    let held = b.held().await;
    assert_eq!(held.len(), 2);
    let beats = b.store.heartbeat(&held, TERM).await.unwrap();
    assert_eq!(beats, [Beat::Held { cancel: false }; 2]);

    // With jobs to hand in: they are over, and what was taken is told.
    let (done, rows) = (held, async || b.store.queue_stats().await.unwrap());
    b.lose(1, b.store.exchange(&done, Some(b.request(2)))).await;
    let taken = b.held().await;
    assert_eq!(taken.len(), 1);
    let again = b.store.exchange(&done, Some(b.request(2))).await.unwrap();
    assert!(again.completed.iter().all(Result::is_ok), "{again:?}");
    assert!(again.leases.is_empty());
    assert_eq!((rows().await.running, rows().await.queued), (1, 0));
    b.store.complete(&taken[0]).await.unwrap();
    assert!(b.held().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_is_one() {
    let b = Bench::new().await;
    b.enqueue(1).await;
    let claim = b.claim().await;
    b.again(async || b.store.complete(&claim).await)
        .await
        .unwrap();

    // One that frees a key takes a transaction, after a statement that changes nothing.
    let keyed = || NewJob {
        limits: vec![limit("k", 1)],
        ..new_job()
    };
    let new = vec![keyed(), keyed()];
    b.store.enqueue_all(&tenant("acme"), new).await.unwrap();
    let claim = b.claim().await;
    b.lose(2, b.store.complete(&claim)).await;
    let rows = b.rows().await;
    b.store.complete(&claim).await.unwrap();
    assert_eq!(b.rows().await, rows);
    assert_eq!(b.store.queue_stats().await.unwrap().queued, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_may_be_sent_again() {
    let b = Bench::new().await;
    b.enqueue(1).await;
    let claim = b.claim().await;
    b.lose(1, b.store.heartbeat(&[claim], TERM)).await;
    let beats = b.store.heartbeat(&[claim], TERM).await.unwrap();
    assert_eq!(beats, [Beat::Held { cancel: false }]);
    assert_eq!(b.held().await, [claim]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_given_up_once() {
    let b = Bench::new().await;
    b.enqueue(1).await;
    for retry in [Some(Duration::ZERO), Some(TERM), None] {
        let claim = b.claim().await;
        b.again(async || b.store.release(&claim).await)
            .await
            .unwrap();
        let claim = b.claim().await;
        let state = b
            .again(async || b.store.fail(&claim, fault(retry)).await)
            .await;
        let wanted = match retry {
            Some(Duration::ZERO) => JobState::Queued,
            Some(_) => JobState::Pending,
            None => JobState::Failed,
        };
        assert_eq!(state.unwrap(), wanted);
        let now = "UPDATE jobs SET due_at = now(), run_at = now() WHERE state = 'pending'";
        place::run(&mut raw(&b.schema).await, now).await;
        b.store.sweep(Some(TERM), TERM, 10).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_rescues_once() {
    let b = Bench::new().await;
    b.enqueue(2).await;
    assert_eq!(b.store.claim(b.request(2)).await.unwrap().len(), 2);
    let expired = "UPDATE jobs SET lease_until = now() - interval '1 hour'";
    place::run(&mut raw(&b.schema).await, expired).await;
    let sweep = async || b.store.sweep(Some(Duration::ZERO), TERM, 10).await;
    let again = b.again(sweep).await.unwrap();
    assert_eq!(again, Default::default());
    assert!(b.held().await.is_empty());
    assert_eq!(b.store.queue_stats().await.unwrap().pending, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_over_a_slow_way_keeps_what_it_has_done() {
    let b = Bench::new().await;
    b.enqueue(101).await;
    b.claim().await;
    let overdue = "UPDATE jobs SET lease_until = now() - interval '1 hour' WHERE state = 'running';
                   UPDATE jobs SET start_by = now() - interval '1 hour' WHERE state = 'queued'";
    place::run(&mut raw(&b.schema).await, overdue).await;
    // For all of them half a minute, which is more than a call has.
    b.proxy.delay(50);
    let sweep = b.store.sweep(Some(Duration::ZERO), TERM, 100).await;
    b.proxy.delay(0);
    let sweep = sweep.unwrap();
    assert_eq!(sweep.rescued.len(), 1);
    let late = sweep.timed_out.len();
    assert!((1..100).contains(&late), "{late}");
    let left = b.store.queue_stats().await.unwrap();
    assert_eq!((left.pending, left.queued), (1, 100 - late as u64));
    let rest = b
        .store
        .sweep(Some(Duration::ZERO), TERM, 100)
        .await
        .unwrap();
    assert_eq!(rest.timed_out.len(), 100 - late);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_one() {
    let b = Bench::new().await;
    let kind = JobKind::parse("work").unwrap();
    for paused in [true, false] {
        let pause = async || b.store.pause(&kind, paused).await;
        b.again(pause).await.unwrap();
    }
}

/// The way of a deployment, each step of which is not answered at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_its_way_once() {
    let b = Bench::new().await;
    let (store, ada) = (&b.store, Actor::new(tenant("acme"), "ada"));
    let app = project(store, "acme", "app").await;
    for cancelled in [false, true] {
        let new = new_deployment(&app);
        let id = new.id;
        let create = async || store.create_deployment(&ada, new.clone()).await;
        let known = b.again(create).await;
        assert!(
            matches!(known, Err(StoreError::Conflict { .. })),
            "{known:?}"
        );
        let (claim, rows) = (b.claim().await, b.rows().await);
        let row = async || store.deployment(&ada.tenant, id).await.unwrap();
        assert_eq!(row().await.job, claim.job, "{rows:?}");

        let commit = CommitId::parse("0123456789abcdef0123456789abcdef01234567").unwrap();
        for stage in [Stage::Checkout, Stage::Build, Stage::Release] {
            let enter = async || store.enter_stage(&claim, id, stage, Some(&commit)).await;
            assert_eq!(b.again(enter).await.unwrap(), row().await);
        }
        let line = NewLine {
            at: SystemClock.now(),
            stream: LogStream::Stdout,
            text: "a line".to_owned(),
        };
        let lines = vec![line.clone(), line];
        let append = async || store.append_log(&claim, id, 1, lines.clone()).await;
        assert_eq!(b.again(append).await.unwrap(), 3, "the next");
        let release = NewRelease {
            id: ReleaseId::new(SystemClock.now(), &SystemEntropy),
            target: TargetName::parse("local").unwrap(),
            commit: commit.clone(),
            digest: "sha256:00".to_owned(),
            recipe: recipe(),
            env: sealed(),
        };
        let record = async || store.record_release(&claim, id, release.clone()).await;
        let placed = b.again(record).await.unwrap();

        let outcome = match cancelled {
            false => Outcome::Success { release: placed.id },
            true => {
                let wish = async || store.request_cancel(&ada, id, "a wish").await;
                assert_eq!(b.again(wish).await.unwrap(), row().await);
                let gone = async || store.mark_gone(&claim, id, &[placed.number]).await;
                b.again(gone).await.unwrap();
                Outcome::Cancelled
            }
        };
        let finish = async || store.finish(&claim, id, outcome.clone()).await;
        assert_eq!(b.again(finish).await.unwrap(), row().await);
        assert!(row().await.status.is_final());
        // The notice is in the queue once.
        let stats = store.queue_stats().await.unwrap();
        assert_eq!(stats.queued, 1 + u64::from(cancelled));
        assert_eq!((stats.running, stats.pending), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_come_twice_at_the_same_time_are_stored_once() {
    let b = Bench::new().await;
    let ada = Actor::new(tenant("acme"), "ada");
    let app = project(&b.store, "acme", "app").await;
    let new = new_deployment(&app);
    b.store.create_deployment(&ada, new.clone()).await.unwrap();
    let claim = b.claim().await;
    let line = |text: &str| NewLine {
        at: SystemClock.now(),
        stream: LogStream::Stdout,
        text: text.to_owned(),
    };
    let lines = vec![line("one"), line("two")];

    // Both have begun before either can go on.
    let mut db = raw(&b.schema).await;
    run(&mut db, "BEGIN; SELECT 1 FROM jobs FOR NO KEY UPDATE").await;
    let append = || {
        let (store, lines) = (b.store.clone(), lines.clone());
        tokio::spawn(async move { store.append_log(&claim, new.id, 1, lines).await })
    };
    let both = [append(), append()];
    let waiting = "SELECT count(DISTINCT pid) FROM pg_locks AS lock
                   WHERE NOT granted
                     AND EXISTS (SELECT 1 FROM pg_locks AS held
                                 WHERE held.pid = lock.pid
                                   AND held.relation = to_regclass('jobs'))";
    while db.fetch_one(waiting).await.unwrap().get::<i64, _>(0) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run(&mut db, "COMMIT").await;
    for append in both {
        assert_eq!(append.await.unwrap().unwrap(), 3, "the next");
    }
    let stored = b.store.read_log(&ada.tenant, new.id, 0, 10).await.unwrap();
    let stored: Vec<&str> = stored.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(stored, ["one", "two"]);
}
