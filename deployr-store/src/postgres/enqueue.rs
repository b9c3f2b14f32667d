//! Adding jobs: in one statement, however many there are.

use std::collections::HashSet;

use deployr_core::model::{Job, JobState};
use deployr_core::store::{NewJob, StoreResult};
use deployr_core::system::Timestamp;
use deployr_core::value::TenantId;
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

use super::calls;
use super::error::{DbError, DbResult, conflict, corrupt};
use super::jobs;
use super::query::{many, one, scalar, text, to_json};
use super::time::{Time, interval};

const OPERATION: &str = "enqueue";

/// Adds jobs, all or none, as if one after the other.
pub(super) async fn enqueue_all(
    pool: &PgPool,
    tenant: &TenantId,
    new: Vec<NewJob>,
) -> StoreResult<Vec<Job>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let keys = new.iter().filter_map(|job| job.concurrency_key.as_deref());
    let keys: Vec<String> = keys.map(|key| text(key).into_owned()).collect();
    let (new, keys) = (&new, &keys);
    let (now, states) = if keys.is_empty() {
        // One statement needs no transaction around it.
        calls::call(pool, OPERATION, |db| {
            Box::pin(async move {
                let states = vec![JobState::Queued; new.len()];
                match insert(db.get(), tenant, new, &states).await {
                    Ok(now) => Ok((now, states)),
                    Err(error) => Err(explain(db.get(), new, error).await),
                }
            })
        })
        .await?
    } else {
        calls::write(pool, OPERATION, |tx| {
            Box::pin(async move {
                jobs::lock_keys(tx, keys).await?;
                let states = states(new, jobs::taken(tx, keys).await?);
                let insert = tx.savepoint(move |tx| {
                    Box::pin(async move {
                        let now = insert(tx.db(), tenant, new, &states).await?;
                        Ok((now, states))
                    })
                });
                match insert.await {
                    Ok(inserted) => Ok(inserted),
                    Err(error) => Err(explain(tx.db(), new, error).await),
                }
            })
        })
        .await?
    };
    let jobs = new.iter().zip(states);
    Ok(jobs
        .map(|(new, state)| jobs::fresh(tenant, new.clone(), state, now))
        .collect())
}

/// The first of a key that is free is queued, all others of it are pending.
fn states(new: &[NewJob], taken: Vec<String>) -> Vec<JobState> {
    let mut taken: HashSet<String> = taken.into_iter().collect();
    let state = |new: &NewJob| match &new.concurrency_key {
        Some(key) if !taken.insert(text(key).into_owned()) => JobState::Pending,
        _ => JobState::Queued,
    };
    new.iter().map(state).collect()
}

/// Inserts the rows; tells when that was.
async fn insert(
    db: &mut PgConnection,
    tenant: &TenantId,
    new: &[NewJob],
    states: &[JobState],
) -> DbResult<Timestamp> {
    let ids: Vec<Uuid> = new.iter().map(|new| new.id.as_uuid()).collect();
    let kinds: Vec<&str> = new.iter().map(|new| new.kind.as_str()).collect();
    let inputs = new.iter().map(|new| to_json(&new.input));
    let keys = new.iter().map(|new| new.concurrency_key.as_deref());
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let waits: Vec<PgInterval> = new.iter().map(|new| interval(new.delay)).collect();
    let attempts = new.iter().map(|new| i32::try_from(new.max_attempts.max(1)));
    let limits: Vec<PgInterval> = new.iter().map(|new| interval(new.start_within)).collect();
    let statement = sqlx::query(include_str!("sql/insert_jobs.sql"))
        .bind(tenant.as_str())
        .bind(ids)
        .bind(kinds)
        .bind(inputs.collect::<DbResult<Vec<String>>>()?)
        .bind(
            keys.map(|key| key.map(|key| text(key).into_owned()))
                .collect::<Vec<_>>(),
        )
        .bind(states)
        .bind(waits)
        .bind(
            attempts
                .map(|attempts| attempts.unwrap_or(i32::MAX))
                .collect::<Vec<_>>(),
        )
        .bind(limits);
    let now: Option<Time> = one(db, statement, scalar).await?;
    now.map(|now| now.0)
        .ok_or_else(|| corrupt("the answer to `enqueue`", &"no time"))
}

/// Names the id that stood in the way of the insert, if one did.
async fn explain(db: &mut PgConnection, new: &[NewJob], error: DbError) -> DbError {
    if error.taken() != Some("jobs_pkey") {
        return error;
    }
    let ids: Vec<Uuid> = new.iter().map(|new| new.id.as_uuid()).collect();
    let there = sqlx::query("SELECT id FROM jobs WHERE id = ANY($1)").bind(ids);
    let mut there: HashSet<Uuid> = match many(db, there, scalar).await {
        Ok(there) => there.into_iter().collect(),
        Err(error) => return error,
    };
    // Of one that is there twice, the second.
    let taken = new.iter().find(|new| !there.insert(new.id.as_uuid()));
    taken.map_or(error, |new| conflict("job", &new.id, "is taken"))
}
