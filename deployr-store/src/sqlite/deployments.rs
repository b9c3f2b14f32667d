//! Deployments.

use async_trait::async_trait;
use deployr_core::model::{
    Actor, AuditAction, Cause, Claim, Deployment, DeploymentId, DeploymentStatus, Failure,
    JobState, Page, ProjectId, Stage, StageTimes,
};
use deployr_core::state::{DeploymentEvent, JobEvent};
use deployr_core::store::{Deployments, NewDeployment, Outcome, StoreResult};
use deployr_core::value::{CommitId, TenantId};
use rusqlite::Connection;
use uuid::Uuid;

use super::SqliteStore;
use super::audit::note_deployment;
use super::jobs;
use super::moves;
use super::places;
use super::projects;
use super::query::{before, execute, exists, many, one, scalar, to_json};
use super::releases;
use super::rows;
use super::writer::Tx;
use crate::error::{DbResult, conflict, corrupt, illegal, lost, not_found};
use crate::removals::must_stay;
use crate::words::{ENGINE, EndedBy};

#[async_trait]
impl Deployments for SqliteStore {
    async fn create_deployment(
        &self,
        actor: &Actor,
        new: NewDeployment,
    ) -> StoreResult<Deployment> {
        let actor = actor.clone();
        self.write("create_deployment", move |tx| create(tx, &actor, &new))
            .await
    }

    async fn deployment(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Deployment> {
        let tenant = tenant.clone();
        self.read("deployment", move |db| find(db, &tenant, id))
            .await
    }

    async fn deployments(
        &self,
        tenant: &TenantId,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> StoreResult<Vec<Deployment>> {
        let tenant = tenant.clone();
        self.read("deployments", move |db| {
            let after = before(page.after.map(|id| id.as_uuid()));
            // Two statements, so that each has an index that it can follow to the page.
            match project {
                None => many(
                    db,
                    "SELECT * FROM deployments WHERE tenant = ?1 AND id < ?2
                     ORDER BY id DESC LIMIT ?3",
                    (tenant.as_str(), after, page.limit()),
                    rows::deployment,
                ),
                Some(project) => many(
                    db,
                    "SELECT * FROM deployments WHERE tenant = ?1 AND id < ?2 AND project = ?4
                     ORDER BY id DESC LIMIT ?3",
                    (tenant.as_str(), after, page.limit(), project.as_uuid()),
                    rows::deployment,
                ),
            }
        })
        .await
    }

    async fn stages(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Vec<StageTimes>> {
        let tenant = tenant.clone();
        self.read("stages", move |db| {
            must_be_there(db, &tenant, id)?;
            let sql = "SELECT * FROM stages WHERE deployment = ?1 ORDER BY seq";
            many(db, sql, [id.as_uuid()], rows::stage_times)
        })
        .await
    }

    async fn enter_stage(
        &self,
        claim: &Claim,
        id: DeploymentId,
        stage: Stage,
        commit: Option<&CommitId>,
    ) -> StoreResult<Deployment> {
        let (claim, commit) = (*claim, commit.cloned());
        self.write("enter_stage", move |tx| {
            let (job, mut deployment) = jobs::held_for(tx.db, &claim, id)?;
            let event = DeploymentEvent::entering(stage)
                .ok_or_else(|| illegal(deployment.status, stage.as_str()))?;
            moves::advance(tx, &mut deployment, event, ENGINE)?;
            moves::begin(tx, &mut deployment, stage, job.attempt)?;
            deployment.started_at = deployment.started_at.or(Some(tx.now));
            deployment.commit = commit.or(deployment.commit);
            moves::save(tx, &deployment)?;
            Ok(deployment)
        })
        .await
    }

    async fn request_cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> StoreResult<Deployment> {
        let (actor, reason) = (actor.clone(), reason.to_owned());
        self.write("request_cancel", move |tx| {
            request_cancel(tx, &actor, id, reason)
        })
        .await
    }

    async fn finish(
        &self,
        claim: &Claim,
        id: DeploymentId,
        outcome: Outcome,
    ) -> StoreResult<Deployment> {
        let claim = *claim;
        self.write("finish", move |tx| finish(tx, &claim, id, outcome))
            .await
    }
}

fn find(db: &Connection, tenant: &TenantId, id: DeploymentId) -> DbResult<Deployment> {
    let sql = "SELECT * FROM deployments WHERE id = ?1 AND tenant = ?2";
    one(db, sql, (id.as_uuid(), tenant.as_str()), rows::deployment)?
        .ok_or_else(|| not_found("deployment", &id))
}

/// Refuses a deployment that is not there, or not this tenant's.
pub(super) fn must_be_there(db: &Connection, tenant: &TenantId, id: DeploymentId) -> DbResult<()> {
    let sql = "SELECT 1 FROM deployments WHERE id = ?1 AND tenant = ?2";
    if exists(db, sql, (id.as_uuid(), tenant.as_str()))? {
        Ok(())
    } else {
        Err(not_found("deployment", &id))
    }
}

pub(super) fn create(tx: &Tx<'_>, actor: &Actor, new: &NewDeployment) -> DbResult<Deployment> {
    must_stay(&projects::find(tx.db, &actor.tenant, new.project)?)?;
    if exists(
        tx.db,
        "SELECT 1 FROM deployments WHERE id = ?1",
        [new.id.as_uuid()],
    )? {
        return Err(conflict("deployment", &new.id, "is taken"));
    }
    let sql = "SELECT 1 FROM jobs WHERE id = ?1
               UNION ALL SELECT 1 FROM deployments WHERE notify_job = ?1";
    if new.notify_job == new.job.id || exists(tx.db, sql, [new.notify_job.as_uuid()])? {
        return Err(conflict("job", &new.notify_job, "is taken"));
    }
    if let Cause::Rollback { release } = new.cause {
        releases::must_be_kept(tx.db, &actor.tenant, new.project, release)?;
    }
    if new.supersede {
        supersede(tx, actor, new.project, new.id)?;
    }
    jobs::insert(tx, &actor.tenant, new.job.clone())?;
    execute(
        tx.db,
        include_str!("sql/insert_deployment.sql"),
        (
            new.id.as_uuid(),
            actor.tenant.as_str(),
            new.project.as_uuid(),
            new.job.id.as_uuid(),
            new.notify_job.as_uuid(),
            to_json(&new.cause)?,
            DeploymentStatus::Queued.as_str(),
            Stage::Queued.as_str(),
            &actor.name,
            tx.now(),
        ),
    )?;
    let deployment = find(tx.db, &actor.tenant, new.id)?;
    moves::open_stage(tx, &deployment, 0)?;
    note_deployment(
        tx,
        &actor.name,
        &deployment,
        AuditAction::DeploymentCreated,
        "",
    )?;
    Ok(deployment)
}

/// Calls off the deployments of a project that have not started.
fn supersede(tx: &Tx<'_>, actor: &Actor, project: ProjectId, by: DeploymentId) -> DbResult<()> {
    let sql = include_str!("sql/superseded.sql");
    let waiting: Vec<Uuid> = many(tx.db, sql, [project.as_uuid()], scalar)?;
    for id in waiting {
        let called_off = tx.savepoint(|tx| {
            let sql = "SELECT * FROM deployments WHERE id = ?1";
            let mut old = one(tx.db, sql, [id], rows::deployment)?
                .ok_or_else(|| corrupt("a deployment", &"it is gone"))?;
            moves::call_off(tx, &mut old, format!("superseded by {by}"), &actor.name)
        });
        match called_off {
            // A row that cannot be read must not stand in the way of new ones for ever.
            Err(error) if !tx.is_over() && error.is_of_one_row() => {
                tracing::warn!(deployment = %DeploymentId::from_uuid(id), ?error, "not superseded");
            }
            other => other?,
        }
    }
    Ok(())
}

fn request_cancel(
    tx: &Tx<'_>,
    actor: &Actor,
    id: DeploymentId,
    reason: String,
) -> DbResult<Deployment> {
    let mut deployment = find(tx.db, &actor.tenant, id)?;
    if deployment.status.is_final() || deployment.status == DeploymentStatus::Cancelling {
        return Ok(deployment);
    }
    note_deployment(
        tx,
        &actor.name,
        &deployment,
        AuditAction::CancelRequested,
        &reason,
    )?;
    let mut job = jobs::find(tx.db, deployment.job)?;
    if job.state != JobState::Running && job.attempt == 0 {
        moves::call_off(tx, &mut deployment, reason, &actor.name)?;
        return Ok(deployment);
    }
    moves::advance(
        tx,
        &mut deployment,
        DeploymentEvent::RequestCancel,
        &actor.name,
    )?;
    moves::save(tx, &deployment)?;
    execute(
        tx.db,
        "UPDATE deployments SET cancel_reason = ?2 WHERE id = ?1",
        (id.as_uuid(), reason),
    )?;
    job.due_at(job.run_at.min(tx.now));
    execute(
        tx.db,
        "UPDATE jobs SET cancel_requested = 1, run_at = ?2, start_by = ?3 WHERE id = ?1",
        (
            job.id.as_uuid(),
            job.run_at.timestamp_micros(),
            job.start_by.timestamp_micros(),
        ),
    )?;
    if job.state == JobState::Pending {
        places::promote(tx, job.id)?;
    }
    Ok(deployment)
}

fn finish(tx: &Tx<'_>, claim: &Claim, id: DeploymentId, outcome: Outcome) -> DbResult<Deployment> {
    if jobs::given_up(tx.db, claim, EndedBy::Finish)?.is_some() {
        return jobs::deployment_of(tx.db, claim.job)?
            .filter(|deployment| deployment.id == id && ended_so(deployment, &outcome))
            .ok_or_else(|| lost(claim.job));
    }
    let (mut job, mut deployment) = jobs::held_for(tx.db, claim, id)?;
    let (job_event, event, failure) = match outcome {
        Outcome::Success { release } => {
            releases::go_live(tx, &deployment, release)?;
            deployment.release = Some(release);
            (JobEvent::Complete, DeploymentEvent::Succeed, None)
        }
        Outcome::Failed(failure) => {
            let event = match &failure {
                Failure::Fault { message } => {
                    job.error = Some(message.clone());
                    JobEvent::Fail
                }
                Failure::Verdict { .. } | Failure::Cancelled { .. } => JobEvent::Complete,
            };
            (event, DeploymentEvent::Fail, Some(failure))
        }
        Outcome::Cancelled => {
            let failure = moves::cancellation(tx.db, &deployment)?;
            (JobEvent::Cancel, DeploymentEvent::Cancel, Some(failure))
        }
    };
    jobs::change(tx, &mut job, job_event, Some(EndedBy::Finish))?;
    moves::end(tx, &mut deployment, event, failure, ENGINE)?;
    Ok(deployment)
}

/// Whether that is how the deployment ended.
fn ended_so(deployment: &Deployment, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Success { release } => {
            deployment.status == DeploymentStatus::Success && deployment.release == Some(*release)
        }
        Outcome::Failed(failure) => {
            deployment.status == DeploymentStatus::Failed
                && deployment.failure.as_ref() == Some(failure)
        }
        Outcome::Cancelled => deployment.status == DeploymentStatus::Cancelled,
    }
}
