//! Deployments.

use async_trait::async_trait;
use deployr_core::model::{
    Actor, AuditAction, Cause, Claim, Deployment, DeploymentId, DeploymentStatus, Failure,
    JobState, Page, ProjectId, Stage, StageTimes,
};
use deployr_core::state::{DeploymentEvent, JobEvent};
use deployr_core::store::{Deployments, NewDeployment, Outcome, StoreResult};
use deployr_core::value::{CommitId, TenantId};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::PgStore;
use super::audit::note_deployment;
use super::calls::Tx;
use super::enqueue::enqueue;
use super::jobs::{self, Standing};
use super::moves;
use super::places;
use super::projects::{self, must_exist};
use super::query::{before, execute, exists, many, one, scalar, text, to_json};
use super::releases;
use super::rows::{self, columns};
use super::time::Time;
use crate::error::{DbResult, conflict, corrupt, illegal, lost, not_found};
use crate::removals::must_stay;
use crate::words::{ENGINE, EndedBy};

#[async_trait]
impl Deployments for PgStore {
    async fn create_deployment(
        &self,
        actor: &Actor,
        new: NewDeployment,
    ) -> StoreResult<Deployment> {
        let new = &new;
        self.write("create_deployment", |tx| Box::pin(create(tx, actor, new)))
            .await
    }

    async fn deployment(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Deployment> {
        self.call("deployment", |db| Box::pin(find(db.get(), tenant, id)))
            .await
    }

    async fn deployments(
        &self,
        tenant: &TenantId,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> StoreResult<Vec<Deployment>> {
        let after = before(page.after.map(|id| id.as_uuid()));
        let limit = i64::from(page.limit());
        self.call("deployments", |db| {
            Box::pin(async move {
                // Two statements, so that each has an index that it can follow to the page.
                let all = concat!(
                    "SELECT ",
                    columns!(deployments),
                    " FROM deployments WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
                );
                let of_project = concat!(
                    "SELECT ",
                    columns!(deployments),
                    " FROM deployments WHERE tenant = $1 AND id < $2 AND project = $4
                     ORDER BY id DESC LIMIT $3"
                );
                let sql = project.map_or(all, |_| of_project);
                let statement = sqlx::query(sql)
                    .bind(tenant.as_str())
                    .bind(after)
                    .bind(limit);
                let statement = match project {
                    None => statement,
                    Some(project) => statement.bind(project.as_uuid()),
                };
                many(db.get(), statement, rows::deployment).await
            })
        })
        .await
    }

    async fn stages(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Vec<StageTimes>> {
        self.call("stages", |db| {
            Box::pin(async move {
                must_be_there(db.get(), tenant, id).await?;
                let sql = "SELECT stage, attempt, started_at, ended_at FROM stages
                           WHERE deployment = $1 ORDER BY seq";
                let statement = sqlx::query(sql).bind(id.as_uuid());
                many(db.get(), statement, rows::stage_times).await
            })
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
        self.write("enter_stage", |tx| {
            Box::pin(async move {
                let (job, mut deployment) = jobs::held_for(tx, claim, id).await?;
                let event = DeploymentEvent::entering(stage)
                    .ok_or_else(|| illegal(deployment.status, stage.as_str()))?;
                moves::advance(tx, &mut deployment, event, ENGINE).await?;
                moves::begin(tx, &mut deployment, stage, job.attempt).await?;
                deployment.started_at = deployment.started_at.or(Some(tx.now));
                deployment.commit = commit.cloned().or(deployment.commit);
                moves::save(tx, &deployment).await?;
                Ok(deployment)
            })
        })
        .await
    }

    async fn request_cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> StoreResult<Deployment> {
        self.write("request_cancel", |tx| {
            Box::pin(request_cancel(tx, actor, id, reason))
        })
        .await
    }

    async fn finish(
        &self,
        claim: &Claim,
        id: DeploymentId,
        outcome: Outcome,
    ) -> StoreResult<Deployment> {
        let outcome = &outcome;
        self.write("finish", |tx| Box::pin(finish(tx, claim, id, outcome)))
            .await
    }
}

async fn find(db: &mut PgConnection, tenant: &TenantId, id: DeploymentId) -> DbResult<Deployment> {
    let sql = concat!(
        "SELECT ",
        columns!(deployments),
        " FROM deployments WHERE id = $1 AND tenant = $2"
    );
    let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
    one(db, statement, rows::deployment)
        .await?
        .ok_or_else(|| not_found("deployment", &id))
}

/// Refuses a deployment that is not there, or not this tenant's.
pub(super) async fn must_be_there(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: DeploymentId,
) -> DbResult<()> {
    let sql = "SELECT 1 FROM deployments WHERE id = $1 AND tenant = $2";
    let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
    if exists(db, statement).await? {
        Ok(())
    } else {
        Err(not_found("deployment", &id))
    }
}

pub(super) async fn create(
    tx: &mut Tx<'_>,
    actor: &Actor,
    new: &NewDeployment,
) -> DbResult<Deployment> {
    let keys = places::keys(&new.job.limits);
    if new.supersede {
        let sql = "SELECT job FROM deployments WHERE project = $1 AND finished_at IS NULL";
        let open = sqlx::query(sql).bind(new.project.as_uuid());
        let open: Vec<Uuid> = many(tx.db(), open, scalar).await?;
        places::lock_of(tx, &open, &keys).await?;
    } else {
        places::lock(tx, &keys).await?;
    }
    must_exist(tx.db(), &actor.tenant, new.project).await?;
    let there = sqlx::query("SELECT 1 FROM deployments WHERE id = $1").bind(new.id.as_uuid());
    if exists(tx.db(), there).await? {
        return Err(conflict("deployment", &new.id, "is taken"));
    }
    let sql = "SELECT 1 FROM jobs WHERE id = $1
               UNION ALL SELECT 1 FROM deployments WHERE notify_job = $1";
    let used = sqlx::query(sql).bind(new.notify_job.as_uuid());
    if new.notify_job == new.job.id || exists(tx.db(), used).await? {
        return Err(conflict("job", &new.notify_job, "is taken"));
    }
    if let Cause::Rollback { release } = new.cause {
        releases::must_be_kept(tx.db(), &actor.tenant, new.project, release).await?;
    }
    if new.supersede {
        supersede(tx, actor, new.project, new.id).await?;
    }
    enqueue(tx, &actor.tenant, &new.job).await?;
    projects::lock(tx, new.project).await?;
    // Nobody can ask for its removal any more before this is committed.
    must_stay(&projects::find(tx.db(), &actor.tenant, new.project).await?)?;
    let statement = sqlx::query(include_str!("sql/insert_deployment.sql"))
        .bind(new.id.as_uuid())
        .bind(actor.tenant.as_str())
        .bind(new.project.as_uuid())
        .bind(new.job.id.as_uuid())
        .bind(new.notify_job.as_uuid())
        .bind(to_json(&new.cause)?)
        .bind(DeploymentStatus::Queued.as_str())
        .bind(Stage::Queued.as_str())
        .bind(text(&actor.name));
    let deployment = one(tx.db(), statement, rows::deployment)
        .await?
        .ok_or_else(|| corrupt("a new deployment", &"it is not there"))?;
    moves::open_stage(tx, &deployment, 0).await?;
    let action = AuditAction::DeploymentCreated;
    note_deployment(tx, &actor.name, &deployment, action, "").await?;
    Ok(deployment)
}

/// Calls off the deployments of a project that have not started.
async fn supersede(
    tx: &mut Tx<'_>,
    actor: &Actor,
    project: ProjectId,
    by: DeploymentId,
) -> DbResult<()> {
    let waiting = sqlx::query(include_str!("sql/superseded.sql")).bind(project.as_uuid());
    let waiting: Vec<Uuid> = many(tx.db(), waiting, scalar).await?;
    for id in waiting {
        let name = actor.name.clone();
        let called_off = tx.savepoint(move |tx| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(deployments),
                    " FROM deployments WHERE id = $1 FOR NO KEY UPDATE"
                );
                let mut old = one(tx.db(), sqlx::query(sql).bind(id), rows::deployment)
                    .await?
                    .ok_or_else(|| corrupt("a deployment", &"it is gone"))?;
                moves::call_off(tx, &mut old, &format!("superseded by {by}"), &name).await
            })
        });
        match called_off.await {
            // A row that cannot be read must not stand in the way of new ones for ever.
            Err(error) if error.is_of_one_row() => {
                tracing::warn!(deployment = %DeploymentId::from_uuid(id), ?error, "not superseded");
            }
            other => other?,
        }
    }
    Ok(())
}

async fn request_cancel(
    tx: &mut Tx<'_>,
    actor: &Actor,
    id: DeploymentId,
    reason: &str,
) -> DbResult<Deployment> {
    let job = find(tx.db(), &actor.tenant, id).await?.job;
    places::lock_of(tx, &[job.as_uuid()], &[]).await?;
    let mut job = jobs::find(tx, job).await?;
    // As it is now that nobody else can change it.
    let mut deployment = find(tx.db(), &actor.tenant, id).await?;
    if deployment.status.is_final() || deployment.status == DeploymentStatus::Cancelling {
        return Ok(deployment);
    }
    let action = AuditAction::CancelRequested;
    note_deployment(tx, &actor.name, &deployment, action, reason).await?;
    if job.state != JobState::Running && job.attempt == 0 {
        moves::call_off(tx, &mut deployment, reason, &actor.name).await?;
        return Ok(deployment);
    }
    let event = DeploymentEvent::RequestCancel;
    moves::advance(tx, &mut deployment, event, &actor.name).await?;
    moves::save(tx, &deployment).await?;
    let sql = "UPDATE deployments SET cancel_reason = $2 WHERE id = $1";
    let note = sqlx::query(sql).bind(id.as_uuid()).bind(text(reason));
    execute(tx.db(), note).await?;
    job.due_at(job.run_at.min(tx.now));
    let sql = "UPDATE jobs SET cancel_requested = true, run_at = $2, start_by = $3 WHERE id = $1";
    let wish = sqlx::query(sql)
        .bind(job.id.as_uuid())
        .bind(Time(job.run_at))
        .bind(Time(job.start_by));
    execute(tx.db(), wish).await?;
    if job.state == JobState::Pending {
        places::promote(tx, job.id).await?;
    }
    Ok(deployment)
}

async fn finish(
    tx: &mut Tx<'_>,
    claim: &Claim,
    id: DeploymentId,
    outcome: &Outcome,
) -> DbResult<Deployment> {
    places::lock_of(tx, &[claim.job.as_uuid()], &[]).await?;
    let mut job = match jobs::standing(tx, claim, EndedBy::Finish).await? {
        Standing::Held(job) => job,
        Standing::GivenUp(_) => {
            return jobs::deployment_of(tx, claim.job)
                .await?
                .filter(|deployment| deployment.id == id && ended_so(deployment, outcome))
                .ok_or_else(|| lost(claim.job));
        }
        Standing::Lost => return Err(lost(claim.job)),
    };
    let mut deployment = jobs::carried(tx, claim, id).await?;
    let (job_event, event, failure) = match outcome {
        Outcome::Success { release } => {
            releases::go_live(tx, &deployment, *release).await?;
            deployment.release = Some(*release);
            (JobEvent::Complete, DeploymentEvent::Succeed, None)
        }
        Outcome::Failed(failure) => {
            let event = match failure {
                Failure::Fault { message } => {
                    job.error = Some(message.clone());
                    JobEvent::Fail
                }
                Failure::Verdict { .. } | Failure::Cancelled { .. } => JobEvent::Complete,
            };
            (event, DeploymentEvent::Fail, Some(failure.clone()))
        }
        Outcome::Cancelled => {
            let failure = moves::cancellation(tx, &deployment).await?;
            (JobEvent::Cancel, DeploymentEvent::Cancel, Some(failure))
        }
    };
    jobs::change(tx, &mut job, job_event, Some(EndedBy::Finish)).await?;
    moves::end(tx, &mut deployment, event, failure, ENGINE).await?;
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
