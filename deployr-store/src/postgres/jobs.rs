//! How jobs change, inside a transaction. A deployment that a job carries out is moved
//! by whoever calls these.
//!
//! # The order of locks
//!
//! Who locks more than one row takes them in this order, so that no two calls wait for
//! each other:
//!
//! 1. concurrency keys (advisory locks that end with the transaction), in their own order:
//!    before a job of a key is added, ends, or is promoted ([`places`]);
//! 2. jobs, by id; a claim and a sweep skip those that others hold;
//! 3. the deployment of a job, by whoever holds the job;
//! 4. its project, before the next number is taken or a release changes;
//! 5. everything else of that deployment or project.
//!
//! A new lane is in no order. Two calls could stand in each other's way only where each is
//! the first to use two of them, and one is made again then.

use deployr_core::model::{Claim, Deployment, DeploymentId, Job, JobId, JobState};
use deployr_core::state::JobEvent;
use sqlx::Row;
use uuid::Uuid;

use super::calls::Tx;
use super::places;
use super::query::{execute, one, text};
use super::rows::{self, columns};
use super::time::Time;
use crate::error::{DbResult, lost, not_found};
use crate::words::EndedBy;

/// What a claim is worth.
pub(super) enum Standing {
    /// The job is running under it.
    Held(Job),
    /// It was the job's last, and was given up by that call.
    GivenUp(Job),
    /// It is over.
    Lost,
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

/// Changes the job's state and stores the whole change. One that is over leaves its places
/// to the next; its keys are locked. The job is locked.
pub(super) async fn change(
    tx: &mut Tx<'_>,
    job: &mut Job,
    event: JobEvent,
    by: Option<EndedBy>,
) -> DbResult<()> {
    job.state = job.state.on(event)?;
    (job.worker, job.lease_until) = (None, None);
    job.finished_at = job.state.is_final().then_some(tx.now);
    let statement = sqlx::query(include_str!("sql/change_job.sql"))
        .bind(job.id.as_uuid())
        .bind(job.fence.0)
        .bind(job.state.as_str())
        .bind(Time(job.run_at))
        .bind(i32::try_from(job.attempt).unwrap_or(i32::MAX))
        .bind(job.error.as_deref().map(text))
        .bind(job.finished_at.map(Time))
        .bind(by.map(EndedBy::as_str))
        .bind((job.state == JobState::Pending).then_some(Time(job.run_at)))
        .bind(Time(job.start_by));
    execute(tx.db(), statement).await?;
    match job.state.is_final() {
        true => places::give_up(tx, job).await,
        false => Ok(()),
    }
}
