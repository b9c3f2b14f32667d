//! How deployments move, inside a transaction: always by the state machine, always
//! with an audit entry.

use std::time::Duration;

use deployr_core::model::{
    AuditAction, Deployment, DeploymentStatus, Failure, Job, JobId, JobState, Stage,
};
use deployr_core::state::{DeploymentEvent, JobEvent};
use deployr_core::store::NewJob;
use deployr_core::value::JobKind;
use rusqlite::Connection;
use uuid::Uuid;

use super::audit::note_deployment;
use super::jobs;
use super::query::{execute, exists, one, scalar, to_json};
use super::writer::Tx;
use crate::error::{DbResult, corrupt, illegal, not_found};
use crate::words::{ENGINE, EndedBy};

/// Changes the status, and notes it where it is another than before.
pub(super) fn advance(
    tx: &Tx<'_>,
    deployment: &mut Deployment,
    event: DeploymentEvent,
    actor: &str,
) -> DbResult<()> {
    let status = deployment.status.on(event)?;
    if status == deployment.status {
        return Ok(());
    }
    deployment.status = status;
    let action = AuditAction::DeploymentMoved;
    note_deployment(tx, actor, deployment, action, status.as_str())
}

/// Ends the open stage and begins another, unless that is the present one.
pub(super) fn begin(
    tx: &Tx<'_>,
    deployment: &mut Deployment,
    stage: Stage,
    attempt: u32,
) -> DbResult<()> {
    if deployment.stage == stage {
        return Ok(());
    }
    execute(
        tx.db,
        "UPDATE stages SET ended_at = ?2 WHERE deployment = ?1 AND ended_at IS NULL",
        (deployment.id.as_uuid(), tx.now()),
    )?;
    deployment.stage = stage;
    if stage == Stage::Finished {
        Ok(())
    } else {
        open_stage(tx, deployment, attempt)
    }
}

/// Notes that the present stage has begun.
pub(super) fn open_stage(tx: &Tx<'_>, deployment: &Deployment, attempt: u32) -> DbResult<()> {
    execute(
        tx.db,
        "INSERT INTO stages (deployment, stage, attempt, started_at) VALUES (?1, ?2, ?3, ?4)",
        (
            deployment.id.as_uuid(),
            deployment.stage.as_str(),
            attempt,
            tx.now(),
        ),
    )?;
    Ok(())
}

/// Stores all that can change of a deployment.
pub(super) fn save(tx: &Tx<'_>, deployment: &Deployment) -> DbResult<()> {
    execute(
        tx.db,
        include_str!("sql/save_deployment.sql"),
        (
            deployment.id.as_uuid(),
            deployment.status.as_str(),
            deployment.stage.as_str(),
            deployment.commit.as_ref().map(|commit| commit.as_str()),
            deployment.release.map(|id| id.as_uuid()),
            deployment.failure.as_ref().map(to_json).transpose()?,
            deployment.started_at.map(|at| at.timestamp_micros()),
            deployment.finished_at.map(|at| at.timestamp_micros()),
        ),
    )?;
    Ok(())
}

/// Ends a deployment: forgets what it had placed in vain, and enqueues the
/// notification. Its job is up to the caller.
pub(super) fn end(
    tx: &Tx<'_>,
    deployment: &mut Deployment,
    event: DeploymentEvent,
    failure: Option<Failure>,
    actor: &str,
) -> DbResult<()> {
    advance(tx, deployment, event, actor)?;
    begin(tx, deployment, Stage::Finished, 0)?;
    deployment.failure = failure;
    deployment.finished_at = Some(tx.now);
    save(tx, deployment)?;
    if deployment.status != DeploymentStatus::Success {
        forget_placed(tx, deployment)?;
    }
    notify(tx, deployment)
}

/// The releases that a deployment had placed and that never went live are gone.
pub(super) fn forget_placed(tx: &Tx<'_>, deployment: &Deployment) -> DbResult<()> {
    execute(
        tx.db,
        "UPDATE releases SET state = 'gone' WHERE deployment = ?1 AND state = 'placed'",
        [deployment.id.as_uuid()],
    )?;
    Ok(())
}

fn notify(tx: &Tx<'_>, deployment: &Deployment) -> DbResult<()> {
    let sql = "SELECT notify_job FROM deployments WHERE id = ?1";
    let id: Uuid = one(tx.db, sql, [deployment.id.as_uuid()], scalar)?
        .ok_or_else(|| not_found("deployment", &deployment.id))?;
    // Somebody may have used the key since; a deployment must be able to end all the same.
    if exists(tx.db, "SELECT 1 FROM jobs WHERE id = ?1", [id])? {
        return Ok(());
    }
    let kind = JobKind::parse("notify").map_err(|error| corrupt("a job", &error))?;
    let input = serde_json::json!({ "tenant": deployment.tenant, "deployment": deployment.id });
    let notice = NewJob::new(JobId::from_uuid(id), kind, input);
    jobs::insert(tx, &deployment.tenant, notice).map(drop)
}

/// Why a deployment is being cancelled.
pub(super) fn cancellation(db: &Connection, deployment: &Deployment) -> DbResult<Failure> {
    let sql = "SELECT cancel_reason FROM deployments WHERE id = ?1";
    let reason: Option<String> = one(db, sql, [deployment.id.as_uuid()], scalar)?.flatten();
    Ok(Failure::Cancelled {
        reason: reason.unwrap_or_else(|| "stopped on request".to_owned()),
    })
}

/// Calls off a deployment that nobody works on, and its job.
pub(super) fn call_off(
    tx: &Tx<'_>,
    deployment: &mut Deployment,
    reason: String,
    actor: &str,
) -> DbResult<()> {
    let mut job = jobs::find(tx.db, deployment.job)?;
    jobs::change(tx, &mut job, JobEvent::Cancel, None)?;
    let failure = Failure::Cancelled { reason };
    end(
        tx,
        deployment,
        DeploymentEvent::Cancel,
        Some(failure),
        actor,
    )
}

/// Takes a job back from its worker, and its deployment with it: queued again, or pending
/// until `wait` has passed.
pub(super) fn requeue(
    tx: &Tx<'_>,
    job: &mut Job,
    wait: Option<Duration>,
    by: Option<EndedBy>,
) -> DbResult<()> {
    let wait = wait.filter(|wait| !wait.is_zero());
    job.due_at(tx.later(wait.unwrap_or_default()));
    let event = match wait {
        Some(_) => JobEvent::Postpone,
        None => JobEvent::Requeue,
    };
    jobs::change(tx, job, event, by)?;
    let Some(mut deployment) = jobs::deployment_of(tx.db, job.id)? else {
        return Ok(());
    };
    advance(tx, &mut deployment, DeploymentEvent::Requeue, ENGINE)?;
    begin(tx, &mut deployment, Stage::Queued, job.attempt)?;
    save(tx, &deployment)
}

/// Ends a job that could not be carried out, and its deployment with it.
pub(super) fn fail(tx: &Tx<'_>, job: &mut Job, error: &str, by: Option<EndedBy>) -> DbResult<()> {
    job.error = Some(error.to_owned());
    jobs::change(tx, job, JobEvent::Fail, by)?;
    let Some(mut deployment) = jobs::deployment_of(tx.db, job.id)? else {
        return Ok(());
    };
    let failure = Failure::Fault {
        message: error.to_owned(),
    };
    end(
        tx,
        &mut deployment,
        DeploymentEvent::Fail,
        Some(failure),
        ENGINE,
    )
}

/// Ends a job that was asked to stop, and its deployment with it.
pub(super) fn cancel(tx: &Tx<'_>, job: &mut Job, by: Option<EndedBy>) -> DbResult<()> {
    jobs::change(tx, job, JobEvent::Cancel, by)?;
    let Some(mut deployment) = jobs::deployment_of(tx.db, job.id)? else {
        return Ok(());
    };
    let failure = cancellation(tx.db, &deployment)?;
    end(
        tx,
        &mut deployment,
        DeploymentEvent::Cancel,
        Some(failure),
        ENGINE,
    )
}

/// What becomes of a job after a fault: tried again where that is wanted and attempts
/// are left (at once where it is to be cancelled), else cancelled where that was asked
/// for, else failed.
pub(super) fn after_fault(
    tx: &Tx<'_>,
    job: &mut Job,
    error: &str,
    retry_after: Option<Duration>,
    by: Option<EndedBy>,
) -> DbResult<JobState> {
    match retry_after {
        Some(wait) if job.attempt < job.max_attempts => {
            job.error = Some(error.to_owned());
            let wait = (!job.cancel_requested).then_some(wait);
            requeue(tx, job, wait, by)?;
        }
        _ if job.cancel_requested => cancel(tx, job, by)?,
        _ => fail(tx, job, error, by)?,
    }
    Ok(job.state)
}

/// Refuses a call that only fits jobs without a deployment.
pub(super) fn refuse_deployment(db: &Connection, job: &Job) -> DbResult<()> {
    match jobs::deployment_of(db, job.id)? {
        None => Ok(()),
        // A deployment ends by `finish`, which says how.
        Some(deployment) => Err(illegal(deployment.status, "complete").into()),
    }
}
