//! graphile_worker: a local queue of 500 jobs, and completions in batches without a delay.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext,
    WorkerOptions,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::{Error, HANDLED, Starts};

#[derive(Serialize, Deserialize)]
struct Noop {}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, ctx: WorkerContext) -> impl IntoTaskHandlerResult {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        if let Some(starts) = ctx.get_ext::<Starts>() {
            let _ = starts.0.send(Instant::now());
        }
        Ok::<(), String>(())
    }
}

async fn connect(url: &str) -> Result<PgPool, Error> {
    Ok(PgPoolOptions::new().max_connections(20).connect(url).await?)
}

fn options(pool: &PgPool, concurrency: usize) -> WorkerOptions {
    WorkerOptions::default()
        .pg_pool(pool.clone())
        .schema("graphile_worker")
        .concurrency(concurrency)
        .local_queue(LocalQueueConfig::default().with_size(500))
        .complete_job_batch_delay(Duration::ZERO)
        .listen_os_shutdown_signals(false)
        .define_job::<Noop>()
}

fn new_jobs(count: usize) -> Vec<RawJobSpec> {
    let new = |_| RawJobSpec {
        identifier: Noop::IDENTIFIER.to_owned(),
        payload: serde_json::json!({}),
        spec: JobSpec::default(),
    };
    (0..count).map(new).collect()
}

pub(crate) async fn enqueue(url: &str, jobs: usize, batch: usize) -> Result<f64, Error> {
    let pool = connect(url).await?;
    let worker = options(&pool, 1).init().await?;
    let utils = worker.create_utils();
    let began = Instant::now();
    for _ in 0..jobs / batch {
        utils.add_raw_jobs(&new_jobs(batch)).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

pub(crate) async fn run(url: &str, concurrency: usize) -> Result<(), Error> {
    let pool = connect(url).await?;
    let worker = options(&pool, concurrency).init().await?;
    crate::on_your_marks().await?;
    tokio::spawn(crate::tell());
    worker.run().await?;
    Ok(())
}

pub(crate) async fn latency(url: &str, samples: usize) -> Result<(), Error> {
    let pool = connect(url).await?;
    let (starts, receiver) = crate::starts();
    let worker = options(&pool, 8).add_extension(starts).init().await?;
    let utils = worker.create_utils();
    tokio::spawn(async move { worker.run().await.map_err(|error| error.to_string()) });
    crate::samples(samples, receiver, || async {
        utils.add_raw_job(Noop::IDENTIFIER, serde_json::json!({}), JobSpec::default()).await?;
        Ok(())
    })
    .await
}
