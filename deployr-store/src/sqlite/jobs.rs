//! How jobs change, inside a transaction. A deployment that a job carries out is moved
//! by whoever calls these.

use deployr_core::model::{Claim, Deployment, DeploymentId, Fence, Job, JobId, JobState};
use deployr_core::state::JobEvent;
use deployr_core::store::{Due, NewJob, StoreError};
use deployr_core::value::TenantId;
use rusqlite::Connection;

use super::error::{DbError, DbResult, conflict, not_found};
use super::lines::{self, Ends};
use super::places;
use super::query::{execute, one, to_json};
use super::rows;
use super::writer::{Tx, later, stored};

/// The call by which a worker gave a claim up. Noted, so that the same call made again
/// is known, and a call after a sweep is not taken for one.
#[derive(Debug, Clone, Copy)]
pub(super) enum EndedBy {
    Complete,
    Finish,
    Fail,
    Release,
}

impl EndedBy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Finish => "finish",
            Self::Fail => "fail",
            Self::Release => "release",
        }
    }
}

pub(super) fn find(db: &Connection, id: JobId) -> DbResult<Job> {
    one(
        db,
        "SELECT * FROM job_rows WHERE id = ?1",
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
        "SELECT * FROM job_rows WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND state = 'running'",
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
        "SELECT * FROM job_rows WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND ended_by = ?4",
        (
            claim.job.as_uuid(),
            claim.fence.0,
            claim.worker.as_uuid(),
            by.as_str(),
        ),
        rows::job,
    )
}

/// Adds a job: queued, or pending until it is due or has room.
pub(super) fn insert(
    tx: &Tx<'_>,
    tenant: &TenantId,
    new: NewJob,
    ends: &mut Ends,
) -> DbResult<Job> {
    let run_at = match new.due {
        Due::Now => tx.now,
        Due::After(delay) => tx.later(delay),
        Due::At(time) => stored(time).max(tx.now),
    };
    let is_due = run_at <= tx.now;
    let state = match is_due && places::has_room(tx.db, &new.limits)? {
        true => JobState::Queued,
        false => JobState::Pending,
    };
    let job = Job {
        id: new.id,
        tenant: tenant.clone(),
        kind: new.kind,
        input: new.input,
        priority: new.priority,
        limits: new.limits,
        needs: new.needs,
        state,
        run_at,
        attempt: 0,
        max_attempts: new.max_attempts.max(1),
        fence: Fence(0),
        worker: None,
        lease_until: None,
        start_by: later(run_at, new.start_within),
        cancel_requested: false,
        error: None,
        created_at: tx.now,
        finished_at: None,
    };
    let (lane, rank) = match state {
        JobState::Queued => {
            let (lane, rank) = ends.next(tx, &job)?;
            (lane, Some(rank))
        }
        _ => (lines::lane(tx.db, &job.kind, &job.needs)?, None),
    };
    let limits = (!job.limits.is_empty()).then(|| to_json(&job.limits));
    let added = execute(
        tx.db,
        include_str!("sql/insert_job.sql"),
        (
            job.id.as_uuid(),
            job.tenant.as_str(),
            lane,
            to_json(&job.input)?,
            job.priority,
            rank,
            limits.transpose()?,
            job.state.as_str(),
            job.run_at.timestamp_micros(),
            (!is_due).then(|| job.run_at.timestamp_micros()),
            job.max_attempts,
            job.start_by.timestamp_micros(),
            tx.now(),
        ),
    )?;
    if added == 0 {
        return Err(conflict("job", &job.id, "is taken"));
    }
    if is_due {
        places::note(tx.db, &job, rank.is_some())?;
    }
    Ok(job)
}

/// Changes the job's state and stores the whole change. One that is over leaves its places
/// to the next.
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
        include_str!("sql/change_job.sql"),
        (
            job.id.as_uuid(),
            job.state.as_str(),
            job.run_at.timestamp_micros(),
            job.attempt,
            &job.error,
            job.finished_at.map(|at| at.timestamp_micros()),
            by.map(EndedBy::as_str),
            (job.state == JobState::Pending).then(|| job.run_at.timestamp_micros()),
        ),
    )?;
    match job.state.is_final() {
        true => places::give_up(tx, job),
        false => Ok(()),
    }
}
