//! The limit: what one would write by hand for a queue in Postgres and nothing else. Keeps the
//! rows of finished jobs; has no keys, tenants, attempts, lanes or sweeps.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{Connection, Row};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::race::{HANDLED, on_your_marks, tell};
use crate::Error;

pub(super) const SCHEMA: &str = "
    CREATE TABLE jobs (
        id          uuid        PRIMARY KEY,
        kind        text        NOT NULL,
        input       text        NOT NULL,
        state       smallint    NOT NULL DEFAULT 0,
        run_at      timestamptz NOT NULL,
        fence       bigint      NOT NULL DEFAULT 0,
        lease_until timestamptz,
        finished_at timestamptz
    ) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01);
    CREATE INDEX jobs_claimable ON jobs (run_at, id) WHERE state = 0";
pub(super) const LEFT: &str = "SELECT count(*) FROM jobs WHERE state < 2";
const INSERT: &str = "INSERT INTO jobs (id, kind, input, run_at)
    SELECT id, kind, input, now() FROM unnest($1::uuid[], $2::text[], $3::text[])
        AS new (id, kind, input)";
const CLAIM: &str = "UPDATE jobs SET state = 1, fence = fence + 1,
        lease_until = now() + interval '60 s'
    WHERE id = ANY(ARRAY(
        SELECT id FROM jobs WHERE state = 0 AND run_at <= now() ORDER BY run_at, id LIMIT $1
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, kind, input, fence";
const COMPLETE: &str = "UPDATE jobs SET state = 2, finished_at = now()
    WHERE id = ANY($1) AND state = 1";

/// Enqueues jobs; gives the seconds that it took.
pub(super) async fn enqueue(url: &str, jobs: usize, batch: usize) -> Result<f64, Error> {
    let mut db = PgConnection::connect(url).await?;
    let began = Instant::now();
    for _ in 0..jobs / batch {
        insert(&mut db, batch).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn insert(db: &mut PgConnection, jobs: usize) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = (0..jobs).map(|_| Uuid::now_v7()).collect();
    let insert = sqlx::query(INSERT)
        .bind(ids)
        .bind(vec!["noop"; jobs])
        .bind(vec!["{}"; jobs]);
    insert.execute(db).await.map(drop)
}

/// A worker process: claims and completes batches on so many connections.
pub(super) async fn work(url: &str, connections: usize, batch: i64) -> Result<(), Error> {
    let mut dbs = Vec::new();
    for _ in 0..connections {
        dbs.push(PgConnection::connect(url).await?);
    }
    on_your_marks()?;
    std::thread::spawn(|| tell());
    let mut tasks = JoinSet::new();
    for db in dbs {
        tasks.spawn(drain(db, batch));
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    std::future::pending().await
}

async fn drain(mut db: PgConnection, batch: i64) -> Result<(), sqlx::Error> {
    loop {
        let held = claim(&mut db, batch).await?;
        if held.is_empty() {
            return Ok(());
        }
        let jobs = held.len();
        sqlx::query(COMPLETE).bind(held).execute(&mut db).await?;
        HANDLED.fetch_add(jobs, Ordering::Relaxed);
    }
}

async fn claim(db: &mut PgConnection, batch: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    let rows = sqlx::query(CLAIM).bind(batch).fetch_all(db).await?;
    let claimed = rows.iter().map(|row| {
        // What a handler would be given.
        let _: (&str, &str, i64) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        row.try_get(0)
    });
    claimed.collect()
}

/// From enqueueing, with a notification, until a loop that listens has claimed; each in ms.
pub(super) async fn latency(url: &str, samples: usize) -> Result<Vec<f64>, Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen("jobs").await?;
    let (sender, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let mut worker = PgConnection::connect(url).await?;
    let claims = tokio::spawn(async move {
        loop {
            listener.recv().await?;
            claim(&mut worker, 8).await?;
            if sender.send(Instant::now()).is_err() {
                return Ok::<(), sqlx::Error>(());
            }
        }
    });
    let mut db = PgConnection::connect(url).await?;
    let mut taken = Vec::new();
    for sample in 0..samples + 10 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let began = Instant::now();
        insert(&mut db, 1).await?;
        sqlx::query("SELECT pg_notify('jobs', '')")
            .execute(&mut db)
            .await?;
        let started = starts.recv().await.ok_or("the loop has ended")?;
        if sample >= 10 {
            taken.push(started.duration_since(began).as_secs_f64() * 1e3);
        }
    }
    claims.abort();
    Ok(taken)
}
