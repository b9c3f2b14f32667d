//! How jobs change, inside a transaction. A deployment that a job carries out is moved
//! by whoever calls these.

use deployr_core::model::{Claim, Deployment, DeploymentId, Fence, Job, JobId, JobState};
use deployr_core::state::JobEvent;
use deployr_core::store::{NewJob, StoreError};
use deployr_core::value::TenantId;
use rusqlite::Connection;

use super::error::{DbError, DbResult, conflict, not_found};
use super::query::{execute, exists, one, to_json};
use super::rows;
use super::writer::Tx;

/// The call by which a worker gave a claim up. Noted, so that the same call made again
/// is known, and a call after a sweep is not taken for one.
#[derive(Debug, Clone, Copy)]
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

pub(super) fn find(db: &Connection, id: JobId) -> DbResult<Job> {
    one(
        db,
        "SELECT * FROM jobs WHERE id = ?1",
        [id.as_uuid()],
        rows::job,
    )?
    .ok_or_else(|| not_found("job", &id))
}

/// The deployment that a job carries out, if it is such a job.
pub(super) fn deployment_of(db: &Connection, id: JobId) -> DbResult<Option<Deployment>> {
    one(
        db,
        "SELECT * FROM deployments WHERE job = ?1",
        [id.as_uuid()],
        rows::deployment,
    )
}

pub(super) fn lost(job: JobId) -> DbError {
    StoreError::LeaseLost { job }.into()
}

/// The job, which is running under this claim.
pub(super) fn held(db: &Connection, claim: &Claim) -> DbResult<Job> {
    one(
        db,
        "SELECT * FROM jobs WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND state = 'running'",
        (claim.job.as_uuid(), claim.fence.0, claim.worker.as_uuid()),
        rows::job,
    )?
    .ok_or_else(|| lost(claim.job))
}

/// The job, which is running under this claim, and the deployment that it carries out.
/// A claim gives no right to any other deployment.
pub(super) fn held_for(
    db: &Connection,
    claim: &Claim,
    id: DeploymentId,
) -> DbResult<(Job, Deployment)> {
    let job = held(db, claim)?;
    match deployment_of(db, job.id)? {
        Some(deployment) if deployment.id == id => Ok((job, deployment)),
        _ => Err(lost(claim.job)),
    }
}

/// The job, if this claim was its last and was given up by that call.
pub(super) fn given_up(db: &Connection, claim: &Claim, by: EndedBy) -> DbResult<Option<Job>> {
    one(
        db,
        "SELECT * FROM jobs WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND ended_by = ?4",
        (
            claim.job.as_uuid(),
            claim.fence.0,
            claim.worker.as_uuid(),
            by.as_str(),
        ),
        rows::job,
    )
}

/// Adds a job; pending while its key is taken.
pub(super) fn insert(tx: &Tx<'_>, tenant: &TenantId, new: NewJob) -> DbResult<Job> {
    let state = match &new.concurrency_key {
        Some(key) if is_taken(tx.db, key)? => JobState::Pending,
        _ => JobState::Queued,
    };
    let job = Job {
        id: new.id,
        tenant: tenant.clone(),
        kind: new.kind,
        input: new.input,
        concurrency_key: new.concurrency_key,
        state,
        run_at: tx.later(new.delay),
        attempt: 0,
        max_attempts: new.max_attempts.max(1),
        fence: Fence(0),
        worker: None,
        lease_until: None,
        start_by: tx.later(new.start_within),
        cancel_requested: false,
        error: None,
        created_at: tx.now,
        finished_at: None,
    };
    let added = execute(
        tx.db,
        include_str!("sql/insert_job.sql"),
        (
            job.id.as_uuid(),
            job.tenant.as_str(),
            job.kind.as_str(),
            to_json(&job.input)?,
            &job.concurrency_key,
            job.state.as_str(),
            job.run_at.timestamp_micros(),
            job.max_attempts,
            job.start_by.timestamp_micros(),
            tx.now(),
        ),
    )?;
    if added == 0 {
        return Err(conflict("job", &job.id, "is taken"));
    }
    Ok(job)
}

fn is_taken(db: &Connection, key: &str) -> DbResult<bool> {
    let sql = "SELECT 1 FROM jobs WHERE concurrency_key = ?1 AND state IN ('queued', 'running')";
    exists(db, sql, [key])
}

/// Changes the job's state and stores the whole change. A job that no longer needs its
/// key leaves it to the next.
pub(super) fn change(
    tx: &Tx<'_>,
    job: &mut Job,
    event: JobEvent,
    by: Option<EndedBy>,
) -> DbResult<()> {
    job.state = job.state.on(event)?;
    (job.worker, job.lease_until) = (None, None);
    job.finished_at = job.state.is_final().then_some(tx.now);
    execute(
        tx.db,
        "UPDATE jobs SET state = ?2, run_at = ?3, attempt = ?4, lease_until = NULL,
                         error = ?5, finished_at = ?6, ended_by = ?7
         WHERE id = ?1",
        (
            job.id.as_uuid(),
            job.state.as_str(),
            job.run_at.timestamp_micros(),
            job.attempt,
            &job.error,
            job.finished_at.map(|at| at.timestamp_micros()),
            by.map(EndedBy::as_str),
        ),
    )?;
    match &job.concurrency_key {
        Some(key) if job.state.is_final() => promote(tx, key).map(drop),
        _ => Ok(()),
    }
}

/// Queues the oldest pending job of a key, if the key is free; tells whether there
/// was one.
pub(super) fn promote(tx: &Tx<'_>, key: &str) -> DbResult<bool> {
    if is_taken(tx.db, key)? {
        return Ok(false);
    }
    let queued = JobState::Pending.on(JobEvent::Promote)?;
    let changed = execute(
        tx.db,
        include_str!("sql/promote_job.sql"),
        (key, queued.as_str()),
    )?;
    Ok(changed > 0)
}
