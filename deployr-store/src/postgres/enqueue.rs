//! Adding jobs: in a few statements, however many there are.

use std::collections::HashSet;

use deployr_core::model::{Job, JobState};
use deployr_core::store::{NewJob, StoreResult};
use deployr_core::value::TenantId;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

use super::calls::{self, Tx};
use super::lines::{Ends, Line};
use super::places::{self, Taken};
use super::query::{execute, many, scalar, to_json};
use super::time::Time;
use crate::error::{DbError, DbResult, conflict};

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
    let new = &*new;
    let keys = &*keys(new);
    if keys.is_empty() {
        // One statement adds them all, and needs no transaction around it.
        return calls::call(pool, OPERATION, |db| {
            Box::pin(async move {
                match insert(db.get(), tenant, new).await {
                    Ok(jobs) => Ok(jobs),
                    Err(error) => Err(explain(db.get(), new, error).await),
                }
            })
        })
        .await;
    }
    calls::write(pool, OPERATION, |tx| {
        Box::pin(async move {
            places::lock(tx, keys).await?;
            let insert = tx.savepoint(|tx| Box::pin(insert(tx.db(), tenant, new)));
            match insert.await {
                Ok(jobs) => Ok(jobs),
                Err(error) => Err(explain(tx.db(), new, error).await),
            }
        })
    })
    .await
}

/// Adds a job, the keys of which are locked.
pub(super) async fn enqueue(tx: &mut Tx<'_>, tenant: &TenantId, new: &NewJob) -> DbResult<()> {
    let inserted = insert(tx.db(), tenant, std::slice::from_ref(new)).await;
    inserted
        .map(drop)
        .map_err(|error| match is_of_an_id(&error) {
            true => conflict("job", &new.id, "is taken"),
            false => error,
        })
}

fn keys(new: &[NewJob]) -> Vec<String> {
    let keys = new.iter().flat_map(|new| places::keys(&new.limits));
    keys.collect()
}

/// Inserts jobs, the keys of which are locked: queued, or pending until they are due or have
/// room.
async fn insert(db: &mut PgConnection, tenant: &TenantId, new: &[NewJob]) -> DbResult<Vec<Job>> {
    let lines: Vec<Line> = new.iter().map(Line::of_new).collect();
    let mut ends = Ends::of(db, tenant, lines.iter().cloned()).await?;
    let mut taken = Taken::of(db, &keys(new)).await?;
    let now = ends.now;
    let (mut jobs, mut ranks, mut lanes) = (Vec::new(), Vec::new(), Vec::new());
    for (new, line) in new.iter().zip(&lines) {
        let mut job = new.clone().into_job(tenant.clone(), now);
        job.max_attempts = job.max_attempts.min(i32::MAX.unsigned_abs());
        let mut rank = None;
        if job.run_at <= now && taken.has_room(&job.limits) {
            taken.take(&job.limits);
            job.state = JobState::Queued;
            rank = Some(ends.next_rank(line)?);
        }
        jobs.push(job);
        ranks.push(rank);
        lanes.push(ends.lane(line)?);
    }
    let limits = |job: &Job| (!job.limits.is_empty()).then(|| to_json(&job.limits));
    let limits = jobs.iter().map(|job| limits(job).transpose());
    let limits = limits.collect::<DbResult<Vec<Option<String>>>>()?;
    let inputs = jobs.iter().map(|job| to_json(&job.input));
    let statement = sqlx::query(include_str!("sql/insert_jobs.sql"))
        .bind(tenant.as_str())
        .bind(Time(now))
        .bind(each(&jobs, |job| job.id.as_uuid()))
        .bind(each(&jobs, |job| job.kind.as_str()))
        .bind(each(&lines, |line| line.needs.as_str()))
        .bind(lanes)
        .bind(inputs.collect::<DbResult<Vec<String>>>()?)
        .bind(each(&jobs, |job| job.priority))
        .bind(ranks)
        .bind(limits)
        .bind(each(&jobs, |job| job.state.as_str()))
        .bind(each(&jobs, |job| Time(job.run_at)))
        .bind(each(&jobs, |job| job.max_attempts.cast_signed()))
        .bind(each(&jobs, |job| Time(job.start_by)));
    execute(db, statement).await?;
    places::note(db, jobs.iter().filter(|job| job.run_at <= now)).await?;
    Ok(jobs)
}

fn each<'a, T, U>(all: &'a [T], of: impl FnMut(&'a T) -> U) -> Vec<U> {
    all.iter().map(of).collect()
}

fn is_of_an_id(error: &DbError) -> bool {
    error.taken() == Some("jobs_pkey")
}

/// Names the id that stood in the way of the insert, if one did.
async fn explain(db: &mut PgConnection, new: &[NewJob], error: DbError) -> DbError {
    if !is_of_an_id(&error) {
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
