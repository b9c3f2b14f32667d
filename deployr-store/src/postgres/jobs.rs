//! How jobs change, inside a transaction. A deployment that a job carries out is moved
//! by whoever calls these.
//!
//! # The order of locks
//!
//! Who locks more than one row takes them in this order, so that no two calls wait for
//! each other:
//!
//! 1. concurrency keys (advisory locks that end with the transaction), in their own order:
//!    before a job of a key is added, ends, or is promoted;
//! 2. jobs, by id; a claim and a sweep skip those that others hold;
//! 3. the deployment of a job, by whoever holds the job;
//! 4. its project, before the next number is taken or a release changes;
//! 5. everything else of that deployment or project.

use deployr_core::model::{Claim, Deployment, DeploymentId, Fence, Job, JobId, JobState};
use deployr_core::state::JobEvent;
use deployr_core::store::{NewJob, StoreError};
use deployr_core::system::Timestamp;
use deployr_core::value::TenantId;
use sqlx::Row;
use uuid::Uuid;

use super::calls::Tx;
use super::error::{DbError, DbResult, conflict, not_found};
use super::query::{execute, many, one, scalar, text, to_json};
use super::rows::{self, columns};
use super::time::{self, Time, interval};

/// The call by which a worker gave a claim up. Noted, so that the same call made again
/// is known, and a call after a sweep is not taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndedBy {
    Complete,
    Finish,
    Fail,
}

impl EndedBy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Finish => "finish",
            Self::Fail => "fail",
        }
    }
}

/// What a claim is worth.
pub(super) enum Standing {
    /// The job is running under it.
    Held(Job),
    /// It was the job's last, and was given up by that call.
    GivenUp(Job),
    /// It is over.
    Lost,
}

pub(super) fn lost(job: JobId) -> DbError {
    StoreError::LeaseLost { job }.into()
}

/// Locks concurrency keys.
pub(super) async fn lock_keys(tx: &mut Tx<'_>, keys: &[String]) -> DbResult<()> {
    if !keys.is_empty() {
        let sql = include_str!("sql/lock_keys.sql");
        execute(tx.db(), sqlx::query(sql).bind(keys)).await?;
    }
    Ok(())
}

/// Locks the concurrency keys of jobs. A job keeps its key for life.
pub(super) async fn lock_keys_of(tx: &mut Tx<'_>, jobs: &[Uuid]) -> DbResult<()> {
    let sql = "SELECT DISTINCT concurrency_key FROM jobs
               WHERE id = ANY($1) AND concurrency_key IS NOT NULL";
    let keys: Vec<String> = many(tx.db(), sqlx::query(sql).bind(jobs), scalar).await?;
    lock_keys(tx, &keys).await
}

/// Locks jobs.
pub(super) async fn lock(tx: &mut Tx<'_>, jobs: &[Uuid]) -> DbResult<()> {
    let sql = "SELECT 1 FROM jobs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    execute(tx.db(), sqlx::query(sql).bind(jobs)).await?;
    Ok(())
}

/// The job, locked.
pub(super) async fn find(tx: &mut Tx<'_>, id: JobId) -> DbResult<Job> {
    let sql = concat!(
        "SELECT ",
        columns!(jobs),
        " FROM jobs WHERE id = $1 FOR NO KEY UPDATE"
    );
    one(tx.db(), sqlx::query(sql).bind(id.as_uuid()), rows::job)
        .await?
        .ok_or_else(|| not_found("job", &id))
}

/// The deployment that a job carries out, if it is such a job; locked.
pub(super) async fn deployment_of(tx: &mut Tx<'_>, id: JobId) -> DbResult<Option<Deployment>> {
    let sql = concat!(
        "SELECT ",
        columns!(deployments),
        " FROM deployments WHERE job = $1 FOR NO KEY UPDATE"
    );
    one(
        tx.db(),
        sqlx::query(sql).bind(id.as_uuid()),
        rows::deployment,
    )
    .await
}

/// What the claim is worth to the call `by`; the job is locked unless that is nothing.
pub(super) async fn standing(tx: &mut Tx<'_>, claim: &Claim, by: EndedBy) -> DbResult<Standing> {
    let sql = concat!(
        "SELECT ",
        columns!(jobs),
        ", ended_by FROM jobs
         WHERE id = $1 AND fence = $2 AND worker = $3 FOR NO KEY UPDATE"
    );
    let statement = sqlx::query(sql)
        .bind(claim.job.as_uuid())
        .bind(claim.fence.0)
        .bind(claim.worker.as_uuid());
    let found = one(tx.db(), statement, |row| {
        let ended_by: Option<String> = row.try_get("ended_by")?;
        Ok((rows::job(row)?, ended_by))
    })
    .await?;
    Ok(match found {
        Some((job, _)) if job.state == JobState::Running => Standing::Held(job),
        Some((job, Some(ended_by))) if ended_by == by.as_str() => Standing::GivenUp(job),
        _ => Standing::Lost,
    })
}

/// The job, which is running under this claim; locked.
pub(super) async fn held(tx: &mut Tx<'_>, claim: &Claim) -> DbResult<Job> {
    // Which call is of no account here: what was given up is not held.
    match standing(tx, claim, EndedBy::Finish).await? {
        Standing::Held(job) => Ok(job),
        Standing::GivenUp(_) | Standing::Lost => Err(lost(claim.job)),
    }
}

/// The deployment that a held job carries out; locked. A claim gives no right to any other.
pub(super) async fn carried(
    tx: &mut Tx<'_>,
    claim: &Claim,
    id: DeploymentId,
) -> DbResult<Deployment> {
    match deployment_of(tx, claim.job).await? {
        Some(deployment) if deployment.id == id => Ok(deployment),
        _ => Err(lost(claim.job)),
    }
}

/// The job, which is running under this claim, and the deployment that it carries out.
pub(super) async fn held_for(
    tx: &mut Tx<'_>,
    claim: &Claim,
    id: DeploymentId,
) -> DbResult<(Job, Deployment)> {
    let job = held(tx, claim).await?;
    let deployment = carried(tx, claim, id).await?;
    Ok((job, deployment))
}

/// Which of the keys have a job that is queued or running. They are locked.
pub(super) async fn taken(tx: &mut Tx<'_>, keys: &[String]) -> DbResult<Vec<String>> {
    let sql = "SELECT concurrency_key FROM jobs
               WHERE concurrency_key = ANY($1) AND state IN ('queued', 'running')";
    many(tx.db(), sqlx::query(sql).bind(keys), scalar).await
}

/// A job that is to be added, as it will be stored.
pub(super) fn fresh(tenant: &TenantId, new: NewJob, state: JobState, now: Timestamp) -> Job {
    Job {
        id: new.id,
        tenant: tenant.clone(),
        kind: new.kind,
        input: new.input,
        concurrency_key: new.concurrency_key.map(|key| text(&key).into_owned()),
        state,
        run_at: time::later(now, new.delay),
        attempt: 0,
        max_attempts: new.max_attempts.clamp(1, i32::MAX.unsigned_abs()),
        fence: Fence(0),
        worker: None,
        lease_until: None,
        start_by: time::later(now, new.start_within),
        cancel_requested: false,
        error: None,
        created_at: now,
        finished_at: None,
    }
}

/// Adds a job; pending while its key, which is locked, is taken.
pub(super) async fn insert(tx: &mut Tx<'_>, tenant: &TenantId, new: NewJob) -> DbResult<Job> {
    let mut state = JobState::Queued;
    if let Some(key) = &new.concurrency_key {
        let key = text(key).into_owned();
        if !taken(tx, &[key]).await?.is_empty() {
            state = JobState::Pending;
        }
    }
    let (wait, start_within) = (interval(new.delay), interval(new.start_within));
    let job = fresh(tenant, new, state, tx.now);
    let statement = sqlx::query(include_str!("sql/insert_job.sql"))
        .bind(job.id.as_uuid())
        .bind(job.tenant.as_str())
        .bind(job.kind.as_str())
        .bind(to_json(&job.input)?)
        .bind(&job.concurrency_key)
        .bind(job.state.as_str())
        .bind(wait)
        .bind(i32::try_from(job.max_attempts).unwrap_or(i32::MAX))
        .bind(start_within);
    if execute(tx.db(), statement).await? == 0 {
        return Err(conflict("job", &job.id, "is taken"));
    }
    Ok(job)
}

/// Changes the job's state and stores the whole change. A job that no longer needs its
/// key, which is locked, leaves it to the next. The job is locked.
pub(super) async fn change(
    tx: &mut Tx<'_>,
    job: &mut Job,
    event: JobEvent,
    by: Option<EndedBy>,
) -> DbResult<()> {
    job.state = job.state.on(event)?;
    (job.worker, job.lease_until) = (None, None);
    job.finished_at = job.state.is_final().then_some(tx.now);
    let sql = "UPDATE jobs SET state = $2, run_at = $3, attempt = $4, lease_until = NULL,
                               error = $5, finished_at = $6, ended_by = $7
               WHERE id = $1 AND fence = $8";
    let statement = sqlx::query(sql)
        .bind(job.id.as_uuid())
        .bind(job.state.as_str())
        .bind(Time(job.run_at))
        .bind(i32::try_from(job.attempt).unwrap_or(i32::MAX))
        .bind(job.error.as_deref().map(text))
        .bind(job.finished_at.map(Time))
        .bind(by.map(EndedBy::as_str))
        .bind(job.fence.0);
    execute(tx.db(), statement).await?;
    match &job.concurrency_key {
        Some(key) if job.state.is_final() => promote(tx, key).await.map(drop),
        _ => Ok(()),
    }
}

/// Queues the oldest pending job of a key, if the key, which is locked, is free; tells
/// whether there was one.
pub(super) async fn promote(tx: &mut Tx<'_>, key: &str) -> DbResult<bool> {
    let queued = JobState::Pending.on(JobEvent::Promote)?;
    let statement = sqlx::query(include_str!("sql/promote_job.sql"))
        .bind(key)
        .bind(queued.as_str());
    Ok(execute(tx.db(), statement).await? > 0)
}
