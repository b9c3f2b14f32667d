//! The places of concurrency keys: who has them, and who waits for some.
//!
//! Keys are locked, for the rest of the transaction, before a place of them is taken: whoever
//! finds room finds what others have done to the key. Who ends a job locks its keys too, or
//! somebody who finds no room at the same time would wait for ever; with them those of the
//! jobs that are likely to be next. What is promoted beyond those is tried, and left to the
//! next sweep where another call is at its keys: a wait there would be in no order.

use std::collections::HashMap;

use deployr_core::model::{Job, JobId, JobState, Limit};
use deployr_core::state::JobEvent;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::calls::Tx;
use super::lines::{Ends, Line};
use super::query::{execute, many, one, scalar};
use super::rows::{self, columns};
use crate::error::DbResult;

pub(super) fn keys(limits: &[Limit]) -> Vec<String> {
    let keys = limits.iter().map(|limit| limit.key.as_str().to_owned());
    keys.collect()
}

/// Locks keys.
pub(super) async fn lock(tx: &mut Tx<'_>, keys: &[String]) -> DbResult<()> {
    if !keys.is_empty() {
        let sql = include_str!("sql/lock_keys.sql");
        execute(tx.db(), sqlx::query(sql).bind(keys)).await?;
    }
    Ok(())
}

/// Locks keys, those that jobs have places of or wait for, and those of whoever is next to
/// get a place of one of them.
pub(super) async fn lock_of(tx: &mut Tx<'_>, jobs: &[Uuid], keys: &[String]) -> DbResult<()> {
    let sql = include_str!("sql/keys_of.sql");
    let keys: Vec<String> = many(tx.db(), sqlx::query(sql).bind(jobs).bind(keys), scalar).await?;
    lock(tx, &keys).await
}

/// Locks keys, unless another call holds one of them.
pub(super) async fn try_lock(tx: &mut Tx<'_>, keys: &[String]) -> DbResult<bool> {
    if keys.is_empty() {
        return Ok(true);
    }
    let statement = sqlx::query(include_str!("sql/try_lock_keys.sql")).bind(keys);
    Ok(one(tx.db(), statement, scalar).await?.unwrap_or(false))
}

/// How many places of keys, which are locked, are taken.
pub(super) struct Taken(HashMap<String, i64>);

impl Taken {
    pub(super) async fn of(db: &mut PgConnection, keys: &[String]) -> DbResult<Self> {
        if keys.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let sql = "SELECT key, count(*) FROM job_keys
                   WHERE holds AND key = ANY($1) GROUP BY key";
        let taken = many(db, sqlx::query(sql).bind(keys), |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        });
        Ok(Self(taken.await?.into_iter().collect()))
    }

    /// Whether each of the keys has a place left.
    pub(super) fn has_room(&self, limits: &[Limit]) -> bool {
        limits.iter().all(|limit| {
            let taken = self.0.get(limit.key.as_str()).copied();
            taken.unwrap_or_default() < i64::from(limit.max.get())
        })
    }

    /// Takes a place of each of the keys.
    pub(super) fn take(&mut self, limits: &[Limit]) {
        for limit in limits {
            let key = limit.key.as_str().to_owned();
            *self.0.entry(key).or_default() += 1;
        }
    }
}

/// Notes that the jobs, as they are stored, have a place of each of their keys or wait for
/// them.
pub(super) async fn note<'a>(
    db: &mut PgConnection,
    jobs: impl Iterator<Item = &'a Job>,
) -> DbResult<()> {
    let (mut keys, mut places, mut of) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        for limit in &job.limits {
            keys.push(limit.key.as_str());
            places.push(i64::from(limit.max.get()));
            of.push(job.id.as_uuid());
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(include_str!("sql/keep_keys.sql"))
        .bind(keys)
        .bind(places)
        .bind(of);
    execute(db, statement).await?;
    Ok(())
}

/// Queues a pending job that is due where it has room; tells whether it did. Where it has
/// none it waits for that; where another call holds it or one of its keys, nothing changes.
pub(super) async fn promote(tx: &mut Tx<'_>, id: JobId) -> DbResult<bool> {
    let sql = concat!(
        "SELECT ",
        columns!(jobs),
        ", rank FROM jobs WHERE id = $1 AND state = 'pending' FOR NO KEY UPDATE SKIP LOCKED"
    );
    let found = one(tx.db(), sqlx::query(sql).bind(id.as_uuid()), |row| {
        Ok((rows::job(row)?, row.try_get::<Option<i64>, _>("rank")?))
    });
    let Some((job, rank)) = found.await? else {
        return Ok(false);
    };
    // One that has a rank has had its places all the time.
    if let Some(rank) = rank {
        return queue(tx, &job, rank).await;
    }
    let keys = keys(&job.limits);
    if !try_lock(tx, &keys).await? {
        return Ok(false);
    }
    let has_room = Taken::of(tx.db(), &keys).await?.has_room(&job.limits);
    if has_room {
        let line = Line::of(&job);
        let lines = std::iter::once(line.clone());
        let mut ends = Ends::of(tx.db(), &job.tenant, lines).await?;
        queue(tx, &job, ends.next_rank(&line)?).await?;
    } else {
        let sql = "UPDATE jobs SET due_at = NULL WHERE id = $1";
        execute(tx.db(), sqlx::query(sql).bind(id.as_uuid())).await?;
    }
    note(tx.db(), std::iter::once(&job)).await?;
    Ok(has_room)
}

async fn queue(tx: &mut Tx<'_>, job: &Job, rank: i64) -> DbResult<bool> {
    let queued = JobState::Pending.on(JobEvent::Promote)?;
    let sql = "UPDATE jobs SET state = $2, rank = $3, due_at = NULL WHERE id = $1";
    let statement = sqlx::query(sql)
        .bind(job.id.as_uuid())
        .bind(queued.as_str())
        .bind(rank);
    Ok(execute(tx.db(), statement).await? > 0)
}

/// Gives up what a job has, now that it is over, and queues those that waited for it.
pub(super) async fn give_up(tx: &mut Tx<'_>, job: &Job) -> DbResult<()> {
    if job.limits.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM job_keys WHERE job = $1";
    execute(tx.db(), sqlx::query(sql).bind(job.id.as_uuid())).await?;
    promote_waiting(tx, &keys(&job.limits)).await
}

/// Queues those that wait for a place of these keys, as far as they have room now. The
/// highest priority comes first, then the oldest.
async fn promote_waiting(tx: &mut Tx<'_>, keys: &[String]) -> DbResult<()> {
    let mut tried: Vec<Uuid> = Vec::new();
    loop {
        let next = sqlx::query(include_str!("sql/waiting_job.sql"))
            .bind(keys)
            .bind(&tried);
        let Some(id) = one(tx.db(), next, scalar).await? else {
            return Ok(());
        };
        tried.push(id);
        let id = JobId::from_uuid(id);
        match tx.savepoint(move |tx| Box::pin(promote(tx, id))).await {
            Ok(_) => {}
            // One that cannot be read must not keep the others waiting.
            Err(error) if error.is_of_one_row() => {
                tracing::warn!(job = %id, ?error, "left a job that waits");
            }
            Err(error) => return Err(error),
        }
    }
}
