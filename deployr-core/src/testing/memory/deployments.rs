use async_trait::async_trait;

use super::MemoryStore;
use super::state::{DeploymentRow, End, conflict, newest_first};
use crate::model::{
    Actor, AuditAction, Cause, Claim, Deployment, DeploymentId, DeploymentStatus, Failure,
    JobState, Page, ProjectId, Stage, StageTimes,
};
use crate::state::{DeploymentEvent, IllegalTransition, JobEvent};
use crate::store::{Deployments, NewDeployment, Outcome, StoreError, StoreResult};
use crate::value::{CommitId, TenantId};

#[async_trait]
impl Deployments for MemoryStore {
    async fn create_deployment(
        &self,
        actor: &Actor,
        new: NewDeployment,
    ) -> StoreResult<Deployment> {
        self.write(|state| {
            if state.deployments.contains_key(&new.id) {
                return Err(conflict("deployment", &new.id, "is taken"));
            }
            let reserved = state
                .deployments
                .values()
                .any(|row| row.notify_job == new.notify_job);
            if reserved || new.notify_job == new.job.id || state.jobs.contains_key(&new.notify_job)
            {
                return Err(conflict("job", &new.notify_job, "is taken"));
            }
            state.check_stays(actor, new.project)?;
            if let Cause::Rollback { release } = new.cause {
                state.check_rollback(&actor.tenant, new.project, release)?;
            }
            if new.supersede {
                state.supersede(actor, new.project, new.id)?;
            }
            let job = state.add_job(&actor.tenant, new.job, Some(new.id))?;
            let of_project = state
                .deployments
                .values()
                .filter(|row| row.deployment.project == new.project);
            let last = of_project
                .map(|row| row.deployment.number)
                .max()
                .unwrap_or(0);
            let deployment = Deployment {
                id: new.id,
                tenant: actor.tenant.clone(),
                project: new.project,
                number: last + 1,
                job: job.id,
                cause: new.cause,
                commit: None,
                status: DeploymentStatus::Queued,
                stage: Stage::Queued,
                release: None,
                failure: None,
                actor: actor.name.clone(),
                created_at: state.now,
                started_at: None,
                finished_at: None,
            };
            let mut row = DeploymentRow {
                deployment: deployment.clone(),
                stages: Vec::new(),
                notify_job: new.notify_job,
                cancel_reason: None,
            };
            row.begin(Stage::Queued, 0, state.now);
            state.deployments.insert(new.id, row);
            let action = AuditAction::DeploymentCreated;
            state.audit(
                &actor.tenant,
                &actor.name,
                action,
                new.project,
                Some(new.id),
                "",
            );
            Ok(deployment)
        })
    }

    async fn deployment(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Deployment> {
        self.read(|state| Ok(state.deployment(tenant, id)?.deployment.clone()))
    }

    async fn deployments(
        &self,
        tenant: &TenantId,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> StoreResult<Vec<Deployment>> {
        self.read(|state| {
            let rows = state
                .deployments
                .values()
                .map(|row| &row.deployment)
                .filter(|row| {
                    row.tenant == *tenant && project.is_none_or(|project| row.project == project)
                });
            Ok(newest_first(rows, page, |row| row.id, Deployment::clone))
        })
    }

    async fn stages(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Vec<StageTimes>> {
        self.read(|state| Ok(state.deployment(tenant, id)?.stages.clone()))
    }

    async fn enter_stage(
        &self,
        claim: &Claim,
        id: DeploymentId,
        stage: Stage,
        commit: Option<&CommitId>,
    ) -> StoreResult<Deployment> {
        self.write(|state| {
            let status = state.held_deployment(claim, id)?.deployment.status;
            let event = DeploymentEvent::entering(stage).ok_or(IllegalTransition {
                machine: "deployment",
                from: status.as_str(),
                event: stage.as_str(),
            })?;
            state.move_deployment(id, event, "deployr")?;
            let (now, attempt) = (state.now, state.jobs[&claim.job].job.attempt);
            let row = state.row_mut(id)?;
            if row.deployment.stage != stage {
                row.begin(stage, attempt, now);
            }
            row.deployment.started_at = row.deployment.started_at.or(Some(now));
            row.deployment.commit = commit.cloned().or(row.deployment.commit.take());
            Ok(row.deployment.clone())
        })
    }

    async fn request_cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> StoreResult<Deployment> {
        self.write(|state| {
            let deployment = state.deployment(&actor.tenant, id)?.deployment.clone();
            let status = deployment.status;
            if status.is_final() || status == DeploymentStatus::Cancelling {
                return Ok(deployment);
            }
            let (action, project) = (AuditAction::CancelRequested, deployment.project);
            state.audit(
                &actor.tenant,
                &actor.name,
                action,
                project,
                Some(id),
                reason,
            );
            let job = &state.jobs[&deployment.job].job;
            if job.state != JobState::Running && job.attempt == 0 {
                state.call_off(id, reason.to_owned(), &actor.name)?;
            } else {
                state.move_deployment(id, DeploymentEvent::RequestCancel, &actor.name)?;
                state.row_mut(id)?.cancel_reason = Some(reason.to_owned());
                let now = state.now;
                let job = &mut state.job_mut(deployment.job)?.job;
                job.cancel_requested = true;
                job.due_at(job.run_at.min(now));
                state.promote(deployment.job)?;
            }
            Ok(state.row_mut(id)?.deployment.clone())
        })
    }

    async fn finish(
        &self,
        claim: &Claim,
        id: DeploymentId,
        outcome: Outcome,
    ) -> StoreResult<Deployment> {
        self.write(|state| {
            let end = End::from(&outcome);
            if state.ended(claim) == Some(&end) {
                let carries = state.jobs[&claim.job].deployment == Some(id);
                let row = state.deployments.get(&id).filter(|_| carries);
                let lost = StoreError::LeaseLost { job: claim.job };
                return row.map(|row| row.deployment.clone()).ok_or(lost);
            }
            state.held_deployment(claim, id)?;
            let (job, event, failure) = match outcome {
                Outcome::Success { release } => {
                    state.go_live(id, release)?;
                    (JobEvent::Complete, DeploymentEvent::Succeed, None)
                }
                Outcome::Failed(failure) => {
                    let fault = matches!(failure, Failure::Fault { .. });
                    let job = if fault {
                        JobEvent::Fail
                    } else {
                        JobEvent::Complete
                    };
                    (job, DeploymentEvent::Fail, Some(failure))
                }
                Outcome::Cancelled => (
                    JobEvent::Cancel,
                    DeploymentEvent::Cancel,
                    Some(state.cancellation(id)),
                ),
            };
            let error = failure
                .as_ref()
                .filter(|_| job == JobEvent::Fail)
                .map(Failure::message);
            state.end_job(claim.job, job, error)?;
            state.end_deployment(id, event, failure.clone(), "deployr")?;
            state.note_end(claim, end);
            Ok(state.row_mut(id)?.deployment.clone())
        })
    }
}
