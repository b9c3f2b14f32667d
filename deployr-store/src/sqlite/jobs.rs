//! How jobs change, inside a transaction. A deployment that a job carries out is moved
//! by whoever calls these.

use deployr_core::model::{Claim, Deployment, DeploymentId, Job, JobId, JobState};
use deployr_core::state::JobEvent;
use deployr_core::store::NewJob;
use deployr_core::value::TenantId;
use rusqlite::{Connection, Statement};

use super::lines::{self, Ends};
use super::places;
use super::query::{execute, one, to_json};
use super::rows;
use super::writer::Tx;
use crate::error::{DbResult, conflict, lost, not_found};
use crate::words::EndedBy;

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

const INSERT: &str = include_str!("sql/insert_job.sql");

/// Adds a job: queued, or pending until it is due or has room.
pub(super) fn insert(tx: &Tx<'_>, tenant: &TenantId, new: NewJob) -> DbResult<Job> {
    let mut ends = Ends::new(tx.db, tenant);
    let mut insert = tx.db.prepare_cached(INSERT)?;
    let job = add(tx, tenant, new, &mut ends, &mut insert)?;
    ends.keep()?;
    Ok(job)
}

/// Adds jobs, as one by one.
pub(super) fn insert_all(tx: &Tx<'_>, tenant: &TenantId, new: Vec<NewJob>) -> DbResult<Vec<Job>> {
    let mut ends = Ends::new(tx.db, tenant);
    let mut insert = tx.db.prepare_cached(INSERT)?;
    let added = new
        .into_iter()
        .map(|new| add(tx, tenant, new, &mut ends, &mut insert))
        .collect::<DbResult<_>>()?;
    ends.keep()?;
    Ok(added)
}

fn add(
    tx: &Tx<'_>,
    tenant: &TenantId,
    new: NewJob,
    ends: &mut Ends<'_>,
    insert: &mut Statement<'_>,
) -> DbResult<Job> {
    let mut job = new.into_job(tenant.clone(), tx.now);
    let is_due = job.run_at <= tx.now;
    if is_due && places::has_room(tx.db, &job.limits)? {
        job.state = JobState::Queued;
    }
    let (lane, rank) = match job.state {
        JobState::Queued => {
            let (lane, rank) = ends.next(&job)?;
            (lane, Some(rank))
        }
        _ => (lines::lane(tx.db, &job.kind, &job.needs)?, None),
    };
    let limits = (!job.limits.is_empty()).then(|| to_json(&job.limits));
    let added = insert.execute((
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
    ))?;
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
            job.start_by.timestamp_micros(),
            job.attempt,
            &job.error,
            job.finished_at.map(|at| at.timestamp_micros()),
            by.map(EndedBy::as_str),
            (job.state == JobState::Pending).then(|| job.run_at.timestamp_micros()),
        ),
    )?;
    match job.state {
        JobState::Queued => {
            let sql = "SELECT lane, rank FROM jobs WHERE id = ?1";
            let place = one(tx.db, sql, [job.id.as_uuid()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            let (lane, rank) = place.ok_or_else(|| not_found("job", &job.id))?;
            lines::enter(tx.db, job, lane, rank).map(drop)
        }
        state if state.is_final() => places::give_up(tx, job),
        _ => Ok(()),
    }
}
