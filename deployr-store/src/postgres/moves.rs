//! How deployments move, inside a transaction: always by the state machine, always
//! with an audit entry. Deployment and job are locked by whoever calls these.

use std::time::Duration;

use deployr_core::model::{
    AuditAction, Deployment, DeploymentStatus, Failure, Job, JobId, JobState, Stage,
};
use deployr_core::state::{DeploymentEvent, JobEvent};
use deployr_core::store::NewJob;
use deployr_core::value::JobKind;
use uuid::Uuid;

use super::audit::note_deployment;
use super::calls::Tx;
use super::enqueue;
use super::jobs;
use super::query::{execute, exists, one, scalar, text, to_json};
use super::time::Time;
use crate::error::{DbResult, corrupt, illegal, not_found};
use crate::words::{ENGINE, EndedBy};

/// Changes the status, and notes it where it is another than before.
pub(super) async fn advance(
    tx: &mut Tx<'_>,
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
    note_deployment(tx, actor, deployment, action, status.as_str()).await
}

/// Ends the open stage and begins another, unless that is the present one.
pub(super) async fn begin(
    tx: &mut Tx<'_>,
    deployment: &mut Deployment,
    stage: Stage,
    attempt: u32,
) -> DbResult<()> {
    if deployment.stage == stage {
        return Ok(());
    }
    let sql = "UPDATE stages SET ended_at = now() WHERE deployment = $1 AND ended_at IS NULL";
    execute(tx.db(), sqlx::query(sql).bind(deployment.id.as_uuid())).await?;
    deployment.stage = stage;
    if stage == Stage::Finished {
        Ok(())
    } else {
        open_stage(tx, deployment, attempt).await
    }
}

/// Notes that the present stage has begun.
pub(super) async fn open_stage(
    tx: &mut Tx<'_>,
    deployment: &Deployment,
    attempt: u32,
) -> DbResult<()> {
    let sql = "INSERT INTO stages (deployment, stage, attempt, started_at)
               VALUES ($1, $2, $3, now())";
    let statement = sqlx::query(sql)
        .bind(deployment.id.as_uuid())
        .bind(deployment.stage.as_str())
        .bind(i32::try_from(attempt).unwrap_or(i32::MAX));
    execute(tx.db(), statement).await?;
    Ok(())
}

/// Stores all that can change of a deployment.
pub(super) async fn save(tx: &mut Tx<'_>, deployment: &Deployment) -> DbResult<()> {
    let statement = sqlx::query(include_str!("sql/save_deployment.sql"))
        .bind(deployment.id.as_uuid())
        .bind(deployment.status.as_str())
        .bind(deployment.stage.as_str())
        .bind(deployment.commit.as_ref().map(|commit| commit.as_str()))
        .bind(deployment.release.map(|id| id.as_uuid()))
        .bind(deployment.failure.as_ref().map(to_json).transpose()?)
        .bind(deployment.started_at.map(Time))
        .bind(deployment.finished_at.map(Time));
    execute(tx.db(), statement).await?;
    Ok(())
}

/// Ends a deployment: forgets what it had placed in vain, and enqueues the
/// notification. Its job is up to the caller.
pub(super) async fn end(
    tx: &mut Tx<'_>,
    deployment: &mut Deployment,
    event: DeploymentEvent,
    failure: Option<Failure>,
    actor: &str,
) -> DbResult<()> {
    advance(tx, deployment, event, actor).await?;
    begin(tx, deployment, Stage::Finished, 0).await?;
    deployment.failure = failure;
    deployment.finished_at = Some(tx.now);
    save(tx, deployment).await?;
    if deployment.status != DeploymentStatus::Success {
        forget_placed(tx, deployment).await?;
    }
    notify(tx, deployment).await
}

/// The releases that a deployment had placed and that never went live are gone.
pub(super) async fn forget_placed(tx: &mut Tx<'_>, deployment: &Deployment) -> DbResult<()> {
    let sql = "UPDATE releases SET state = 'gone' WHERE deployment = $1 AND state = 'placed'";
    execute(tx.db(), sqlx::query(sql).bind(deployment.id.as_uuid())).await?;
    Ok(())
}

async fn notify(tx: &mut Tx<'_>, deployment: &Deployment) -> DbResult<()> {
    let sql = "SELECT notify_job FROM deployments WHERE id = $1";
    let statement = sqlx::query(sql).bind(deployment.id.as_uuid());
    let id: Uuid = one(tx.db(), statement, scalar)
        .await?
        .ok_or_else(|| not_found("deployment", &deployment.id))?;
    // Somebody may have used the key since; a deployment must be able to end all the same.
    let used = sqlx::query("SELECT 1 FROM jobs WHERE id = $1").bind(id);
    if exists(tx.db(), used).await? {
        return Ok(());
    }
    let kind = JobKind::parse("notify").map_err(|error| corrupt("a job", &error))?;
    let input = serde_json::json!({ "tenant": deployment.tenant, "deployment": deployment.id });
    let notice = NewJob::new(JobId::from_uuid(id), kind, input);
    enqueue::enqueue(tx, &deployment.tenant, &notice).await
}

/// Why a deployment is being cancelled.
pub(super) async fn cancellation(tx: &mut Tx<'_>, deployment: &Deployment) -> DbResult<Failure> {
    let sql = "SELECT cancel_reason FROM deployments WHERE id = $1";
    let statement = sqlx::query(sql).bind(deployment.id.as_uuid());
    let reason: Option<String> = one(tx.db(), statement, scalar).await?.flatten();
    Ok(Failure::Cancelled {
        reason: reason.unwrap_or_else(|| "stopped on request".to_owned()),
    })
}

/// Calls off a deployment that nobody works on, and its job.
pub(super) async fn call_off(
    tx: &mut Tx<'_>,
    deployment: &mut Deployment,
    reason: &str,
    actor: &str,
) -> DbResult<()> {
    let mut job = jobs::find(tx, deployment.job).await?;
    jobs::change(tx, &mut job, JobEvent::Cancel, None).await?;
    let reason = text(reason).into_owned();
    let failure = Some(Failure::Cancelled { reason });
    end(tx, deployment, DeploymentEvent::Cancel, failure, actor).await
}

/// Takes a job back from its worker, and its deployment with it: queued, or pending until
/// `wait` has passed.
pub(super) async fn requeue(
    tx: &mut Tx<'_>,
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
    jobs::change(tx, job, event, by).await?;
    let Some(mut deployment) = jobs::deployment_of(tx, job.id).await? else {
        return Ok(());
    };
    advance(tx, &mut deployment, DeploymentEvent::Requeue, ENGINE).await?;
    begin(tx, &mut deployment, Stage::Queued, job.attempt).await?;
    save(tx, &deployment).await
}

/// Ends a job that could not be carried out, and its deployment with it.
pub(super) async fn fail(
    tx: &mut Tx<'_>,
    job: &mut Job,
    error: &str,
    by: Option<EndedBy>,
) -> DbResult<()> {
    job.error = Some(error.to_owned());
    jobs::change(tx, job, JobEvent::Fail, by).await?;
    let Some(mut deployment) = jobs::deployment_of(tx, job.id).await? else {
        return Ok(());
    };
    let message = error.to_owned();
    let (event, failure) = (DeploymentEvent::Fail, Failure::Fault { message });
    end(tx, &mut deployment, event, Some(failure), ENGINE).await
}

/// Ends a job that was asked to stop, and its deployment with it.
pub(super) async fn cancel(tx: &mut Tx<'_>, job: &mut Job, by: Option<EndedBy>) -> DbResult<()> {
    jobs::change(tx, job, JobEvent::Cancel, by).await?;
    let Some(mut deployment) = jobs::deployment_of(tx, job.id).await? else {
        return Ok(());
    };
    let failure = Some(cancellation(tx, &deployment).await?);
    end(
        tx,
        &mut deployment,
        DeploymentEvent::Cancel,
        failure,
        ENGINE,
    )
    .await
}

/// What becomes of a job after a fault: tried again where that is wanted and attempts
/// are left (at once where it is to be cancelled), else cancelled where that was asked
/// for, else failed.
pub(super) async fn after_fault(
    tx: &mut Tx<'_>,
    job: &mut Job,
    error: &str,
    retry_after: Option<Duration>,
    by: Option<EndedBy>,
) -> DbResult<JobState> {
    match retry_after {
        Some(wait) if job.attempt < job.max_attempts => {
            job.error = Some(error.to_owned());
            let wait = (!job.cancel_requested).then_some(wait);
            requeue(tx, job, wait, by).await?;
        }
        _ if job.cancel_requested => cancel(tx, job, by).await?,
        _ => fail(tx, job, error, by).await?,
    }
    Ok(job.state)
}

/// Refuses a call that only fits jobs without a deployment.
pub(super) async fn refuse_deployment(tx: &mut Tx<'_>, job: &Job) -> DbResult<()> {
    match jobs::deployment_of(tx, job.id).await? {
        None => Ok(()),
        // A deployment ends by `finish`, which says how.
        Some(deployment) => Err(illegal(deployment.status, "complete").into()),
    }
}
