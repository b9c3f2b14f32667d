//! The limit: lines in a bare table, by `unnest`; a reader that is notified of each write.

use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgListener};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Error;
use crate::logs::{BURST, TICK, delays};

/// How many lines share a transaction in `throughput`.
const BATCH: usize = 1_000;
const DEPLOYMENT: Uuid = Uuid::from_u128(7);
const SCHEMA: &str = "CREATE TABLE log_lines (
    deployment uuid        NOT NULL,
    seq        bigint      NOT NULL,
    at         timestamptz NOT NULL,
    stream     smallint    NOT NULL,
    text       text        NOT NULL,
    PRIMARY KEY (deployment, seq)
)";
const INSERT: &str = "INSERT INTO log_lines (deployment, seq, at, stream, text)
    SELECT $1, $2 + number, now(), 1, text
    FROM unnest($3::text[]) WITH ORDINALITY AS new (text, number)";
const READ: &str =
    "SELECT text FROM log_lines WHERE deployment = $1 AND seq > $2 ORDER BY seq LIMIT 10000";

/// How long all lines take until the last is durable.
pub(super) async fn throughput(url: &str, lines: &[String]) -> Result<Duration, Error> {
    let mut db = create(url).await?;
    let started = Instant::now();
    for (n, batch) in lines.chunks(BATCH).enumerate() {
        insert(&mut db, n * BATCH, batch).await?;
    }
    Ok(started.elapsed())
}

/// How long each line takes from a writer, which commits a burst at once and notifies, to a
/// reader on connections of its own.
pub(super) async fn follow(url: &str, lines: &[String]) -> Result<Vec<Duration>, Error> {
    let mut db = create(url).await?;
    let reader = read(url, lines.len()).await?;
    let mut written = Vec::with_capacity(lines.len());
    let mut ticks = tokio::time::interval(TICK);
    for burst in lines.chunks(BURST) {
        ticks.tick().await;
        let first = written.len();
        written.resize(first + burst.len(), Instant::now());
        insert(&mut db, first, burst).await?;
        sqlx::query("SELECT pg_notify('lines', '')")
            .execute(&mut db)
            .await?;
    }
    Ok(delays(&written, &reader.await??))
}

type Reader = JoinHandle<Result<Vec<Instant>, sqlx::Error>>;

async fn read(url: &str, count: usize) -> Result<Reader, Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen("lines").await?;
    let mut db = PgConnection::connect(url).await?;
    Ok(tokio::spawn(async move {
        let mut arrived = Vec::with_capacity(count);
        while arrived.len() < count {
            listener.recv().await?;
            let read = sqlx::query_scalar(READ)
                .bind(DEPLOYMENT)
                .bind(arrived.len() as i64);
            let texts: Vec<String> = read.fetch_all(&mut db).await?;
            arrived.resize(arrived.len() + texts.len(), Instant::now());
        }
        Ok(arrived)
    }))
}

async fn create(url: &str) -> Result<PgConnection, Error> {
    let mut db = PgConnection::connect(url).await?;
    sqlx::query(SCHEMA).execute(&mut db).await?;
    Ok(db)
}

async fn insert(db: &mut PgConnection, before: usize, lines: &[String]) -> Result<(), Error> {
    let insert = sqlx::query(INSERT)
        .bind(DEPLOYMENT)
        .bind(before as i64)
        .bind(lines);
    insert.execute(db).await?;
    Ok(())
}
