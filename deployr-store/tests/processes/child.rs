//! A worker process: this test program, begun anew.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Claim, Job};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{Beat, JobFault, JobQueue, StoreError};
use deployr_core::system::{Clock, SystemClock, Timestamp};
use deployr_core::testing::{ScriptedBuilder, ScriptedExecutor, ScriptedSource};
use deployr_core::value::CommitId;
use deployr_store::{PgOptions, PgStore};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::Instant;

use crate::swarm::JOB;

/// How a worker process is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) url: String,
    pub(crate) schema: String,
    /// What it is called in the ledger.
    pub(crate) name: String,
    pub(crate) concurrency: u32,
    pub(crate) lease: Duration,
    /// By how many hours its clock is ahead.
    pub(crate) clock_ahead: i32,
}

/// Where the orders are, for a process that is a worker.
pub(crate) const ORDERS: &str = "DEPLOYR_TEST_WORKER";

/// No test, but what a worker process runs.
#[test]
fn worker_process() {
    let Ok(orders) = std::env::var(ORDERS) else {
        return;
    };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(work(orders));
}

/// A clock that is so many hours ahead.
#[derive(Debug)]
struct Off(i32);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        let off = Duration::from_secs(3_600) * self.0.unsigned_abs();
        match self.0 < 0 {
            true => SystemClock.now() - off,
            false => SystemClock.now() + off,
        }
    }
}

async fn work(orders: Orders) {
    let options = PgOptions {
        schema: orders.schema.clone(),
        ..PgOptions::default()
    };
    let store = PgStore::open_with(&orders.url, options).await.unwrap();
    let bus = store.bus().await.unwrap();
    let schema = format!("SET search_path = {}", orders.schema);
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .after_connect(move |db, _| {
            let schema = schema.clone();
            Box::pin(async move {
                sqlx::query(sqlx::AssertSqlSafe(schema)).execute(db).await?;
                Ok(())
            })
        })
        .connect_lazy(&orders.url)
        .unwrap();
    let handler = Arc::new(Handler {
        store: store.clone(),
        ledger: Ledger {
            pool,
            worker: orders.name,
        },
    });
    let engine = Engine::builder()
        .store(Arc::new(store))
        .bus(Arc::new(bus))
        .clock(Arc::new(Off(orders.clock_ahead)))
        .source(Arc::new(ScriptedSource::new(
            CommitId::parse("a".repeat(40)).unwrap(),
        )))
        .builder(Arc::new(ScriptedBuilder::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .job_handler(JOB, handler)
        .build()
        .unwrap();
    let worker = engine.worker().concurrency(orders.concurrency);
    let worker = worker.lease(orders.lease).poll(Duration::from_millis(200));
    let worker = worker.sweep(Duration::from_millis(200)).spawn();
    // Until whoever started it is gone, or lets it go.
    let gone = || std::io::stdin().read(&mut [0]);
    let _ = tokio::task::spawn_blocking(gone).await;
    worker.drain(Duration::from_secs(30)).await;
}

/// What a job asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// How long it takes.
    pub(crate) work: Duration,
    /// Whether who claims it first does nothing of it, ignores that it is to stop, and tries
    /// all writes that it may not make any more.
    pub(crate) stubborn: bool,
}

struct Handler {
    store: PgStore,
    ledger: Ledger,
}

#[async_trait]
impl JobHandler for Handler {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let task: Task = serde_json::from_value(job.input.clone()).unwrap();
        let Some(began) = self.ledger.begin(ctx).await else {
            return Err(JobError::Stopped);
        };
        if task.stubborn && ctx.claim.fence.0 == 1 {
            self.ledger.end(&ctx.claim, Duration::ZERO, "stopped").await;
            ctx.lost.cancelled().await;
            self.ignore_all(&task, &ctx.claim).await;
            return Err(JobError::Stopped);
        }
        let done = tokio::select! {
            () = ctx.stop.cancelled() => false,
            () = tokio::time::sleep(task.work) => true,
        };
        let event = if done { "done" } else { "stopped" };
        self.ledger.end(&ctx.claim, began.elapsed(), event).await;
        match done {
            true => Ok(Done::Completed),
            false => Err(JobError::Stopped),
        }
    }
}

impl Handler {
    /// Tries every write with its claim, over and over: while the job is held by another,
    /// and when it is over.
    async fn ignore_all(&self, task: &Task, claim: &Claim) {
        for round in 0..30 {
            let fault = JobFault {
                error: "stale".to_owned(),
                retry_after: None,
            };
            let refused = |answer: Result<(), StoreError>| match answer {
                Err(StoreError::LeaseLost { .. }) => "refused",
                _ => "taken",
            };
            let beats = self.store.heartbeat(&[*claim], task.work).await;
            let beat = match beats.as_deref() {
                Ok([Beat::Lost]) => "refused",
                _ => "taken",
            };
            let answers = [
                beat,
                refused(self.store.complete(claim).await),
                refused(self.store.fail(claim, fault).await.map(drop)),
                refused(self.store.release(claim).await),
            ];
            for answer in answers {
                self.ledger.note_try(claim, answer, round).await;
            }
            tokio::time::sleep(task.work / 10).await;
        }
    }
}

struct Ledger {
    pool: PgPool,
    worker: String,
}

impl Ledger {
    /// Notes that a job is begun. Not begun is one for which that could not be noted until
    /// it had to stop.
    async fn begin(&self, ctx: &JobContext) -> Option<Instant> {
        let sql = "INSERT INTO ledger (job, fence, worker, event) VALUES ($1, $2, $3, 'began')
                   ON CONFLICT DO NOTHING";
        while !self.write(sql, &ctx.claim, None).await {
            if ctx.stop.is_cancelled() {
                self.end(&ctx.claim, Duration::ZERO, "stopped").await;
                return None;
            }
        }
        Some(Instant::now())
    }

    /// Notes that a job was in hand for so long, if it was begun at all. Also when the
    /// database is away meanwhile.
    async fn end(&self, claim: &Claim, after: Duration, event: &str) {
        let sql = "INSERT INTO ledger (job, fence, worker, event, at)
                   SELECT job, fence, worker, $4, at + $5 FROM ledger
                   WHERE job = $1 AND fence = $2 AND worker = $3 AND event = 'began'
                   ON CONFLICT DO NOTHING";
        let more = (event, i64::try_from(after.as_micros()).unwrap());
        while !self.write(sql, claim, Some(more)).await {}
    }

    async fn note_try(&self, claim: &Claim, answer: &str, round: i64) {
        let sql = "INSERT INTO tries (job, fence, worker, answer, round)
                   VALUES ($1, $2, $3, $4, $5)";
        while !self.write(sql, claim, Some((answer, round))).await {}
    }

    /// Whether it was written down; after a pause where it was not.
    async fn write(&self, sql: &'static str, claim: &Claim, more: Option<(&str, i64)>) -> bool {
        let statement = sqlx::query(sql)
            .bind(claim.job.as_uuid())
            .bind(claim.fence.0)
            .bind(&self.worker);
        let statement = match more {
            Some((event, after)) => statement.bind(event).bind(after),
            None => statement,
        };
        let written = statement.execute(&self.pool).await;
        if let Err(error) = &written {
            eprintln!("{}: not written down: {error}", self.worker);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        written.is_ok()
    }
}
