//! apalis over apalis-postgres: batches of 500 that are not locked one by one, woken by
//! notifications.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::{Error, HANDLED, Starts};

const QUEUE: &str = "noop";

async fn connect(url: &str) -> Result<PgPool, Error> {
    let pool = PgPoolOptions::new().max_connections(20).connect(url).await?;
    PostgresStorage::setup(&pool).await?;
    Ok(pool)
}

fn config() -> Config {
    Config::default().queue(QUEUE).batch_size(500).lock_tasks(false)
}

pub(crate) async fn enqueue(url: &str, jobs: usize, batch: usize) -> Result<f64, Error> {
    let pool = connect(url).await?;
    let began = Instant::now();
    for _ in 0..jobs / batch {
        push(&pool, batch).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn push(pool: &PgPool, count: usize) -> Result<(), Error> {
    let payload = serde_json::to_vec(&0_usize)?;
    let new = (0..count).map(|_| TaskBuilder::new(payload.clone()).build()).collect();
    let mut connection = pool.acquire().await?;
    apalis_postgres::queries::push_tasks(&mut *connection, QUEUE, new).await?;
    Ok(())
}

/// Where handlers tell that they were entered, if somebody wants to know.
static STARTS: OnceLock<Starts> = OnceLock::new();

async fn noop(_: usize) -> Result<(), BoxDynError> {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    if let Some(starts) = STARTS.get() {
        let _ = starts.0.send(Instant::now());
    }
    Ok(())
}

/// A name that no other worker has.
fn name() -> String {
    format!("worker-{}", std::process::id())
}

pub(crate) async fn run(url: &str, concurrency: usize) -> Result<(), Error> {
    let pool = connect(url).await?;
    crate::on_your_marks().await?;
    tokio::spawn(crate::tell());
    let backend = PostgresStorage::new(&pool)
        .with_config(config())
        .with_pubsub()
        .poll_with_interval(Duration::from_millis(200));
    let worker = WorkerBuilder::new(name())
        .backend(backend)
        .concurrency(concurrency)
        .build(noop);
    worker.run().await?;
    Ok(())
}

pub(crate) async fn latency(url: &str, samples: usize) -> Result<(), Error> {
    let pool = connect(url).await?;
    let (starts, receiver) = crate::starts();
    STARTS.set(starts).map_err(|_| "measured once")?;
    let backend = PostgresStorage::new(&pool)
        .with_config(config())
        .with_pubsub()
        .poll_with_interval(Duration::from_millis(200));
    let worker = WorkerBuilder::new(name())
        .backend(backend)
        .concurrency(8)
        .build(noop);
    let work = async { worker.run().await.map_err(Error::from) };
    let samples = crate::samples(samples, receiver, || push(&pool, 1));
    tokio::select! {
        ended = work => ended,
        measured = samples => measured,
    }
}
