use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use super::state::{DeploymentRow, End, State, conflict, newest_first, not_found};
use crate::model::{
    Actor, AuditAction, Cause, Claim, Deployment, DeploymentId, DeploymentStatus, Failure,
    JobState, Page, ProjectId, ReleaseId, ReleaseState, Stage, StageTimes,
};
use crate::state::{DeploymentEvent, IllegalTransition, JobEvent};
use crate::store::{Deployments, NewDeployment, NewJob, Outcome, StoreError, StoreResult};
use crate::value::{CommitId, JobKind, TenantId};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl DeploymentRow {
    /// Ends the open stage, and begins the next.
    fn begin(&mut self, stage: Stage, attempt: u32, now: crate::system::Timestamp) {
        if let Some(open) = self.stages.last_mut() {
            open.ended_at = open.ended_at.or(Some(now));
        }
        self.deployment.stage = stage;
        if stage != Stage::Finished {
            self.stages.push(StageTimes {
                stage,
                attempt,
                started_at: now,
                ended_at: None,
            });
        }
    }
}

impl State {
    fn row_mut(&mut self, id: DeploymentId) -> StoreResult<&mut DeploymentRow> {
        self.deployments
            .get_mut(&id)
            .ok_or_else(|| not_found("deployment", id))
    }

    /// Moves a deployment by the state machine, and notes it down where that is a change.
    fn move_deployment(
        &mut self,
        id: DeploymentId,
        event: DeploymentEvent,
        actor: &str,
    ) -> StoreResult<()> {
        let deployment = &mut self.row_mut(id)?.deployment;
        let before = deployment.status;
        deployment.status = before.on(event)?;
        if deployment.status != before {
            let (tenant, project) = (deployment.tenant.clone(), deployment.project);
            let (action, detail) = (AuditAction::DeploymentMoved, deployment.status.as_str());
            self.audit(&tenant, actor, action, project, Some(id), detail);
        }
        Ok(())
    }

    /// Ends a deployment. Its job is up to the caller.
    pub(super) fn end_deployment(
        &mut self,
        id: DeploymentId,
        event: DeploymentEvent,
        failure: Option<Failure>,
        actor: &str,
    ) -> StoreResult<()> {
        self.move_deployment(id, event, actor)?;
        let now = self.now;
        let row = self.row_mut(id)?;
        row.begin(Stage::Finished, 0, now);
        row.deployment.failure = failure;
        row.deployment.finished_at = Some(now);
        let tenant = row.deployment.tenant.clone();
        let notice = NewJob {
            id: row.notify_job,
            kind: JobKind::parse("notify").expect("a legal kind"),
            input: serde_json::json!({ "tenant": tenant, "deployment": id }),
            concurrency_key: None,
            delay: Duration::ZERO,
            max_attempts: 5,
            start_within: DAY,
        };
        if event != DeploymentEvent::Succeed {
            self.forget_placed(id);
        }
        // Somebody may have used the key since; a deployment must be able to end all the same.
        if self.jobs.contains_key(&notice.id) {
            return Ok(());
        }
        self.add_job(&tenant, notice, None).map(drop)
    }

    /// The releases that a deployment had placed and that never went live are gone.
    pub(super) fn forget_placed(&mut self, id: DeploymentId) {
        for row in self.releases.values_mut() {
            if row.release.deployment == id && row.release.state == ReleaseState::Placed {
                row.release.state = ReleaseState::Gone;
            }
        }
    }

    pub(super) fn requeue_deployment(&mut self, id: DeploymentId) -> StoreResult<()> {
        self.move_deployment(id, DeploymentEvent::Requeue, "deployr")?;
        let now = self.now;
        let job = self.row_mut(id)?.deployment.job;
        let attempt = self.jobs[&job].job.attempt;
        let row = self.row_mut(id)?;
        if row.deployment.stage != Stage::Queued {
            row.begin(Stage::Queued, attempt, now);
        }
        Ok(())
    }

    /// Why a deployment is being cancelled.
    pub(super) fn cancellation(&self, id: DeploymentId) -> Failure {
        let reason = self
            .deployments
            .get(&id)
            .and_then(|row| row.cancel_reason.clone());
        Failure::Cancelled {
            reason: reason.unwrap_or_else(|| "stopped on request".to_owned()),
        }
    }

    /// Calls off a deployment that nobody works on.
    fn call_off(&mut self, id: DeploymentId, reason: String, actor: &str) -> StoreResult<()> {
        let job = self.row_mut(id)?.deployment.job;
        self.end_job(job, JobEvent::Cancel, None)?;
        let failure = Some(Failure::Cancelled { reason });
        self.end_deployment(id, DeploymentEvent::Cancel, failure, actor)
    }

    /// Calls off the deployments of a key that have not started.
    fn supersede(&mut self, actor: &Actor, key: &str, by: DeploymentId) -> StoreResult<()> {
        let waits = |row: &&DeploymentRow| {
            let job = &self.jobs[&row.deployment.job].job;
            row.deployment.tenant == actor.tenant
                && job.concurrency_key.as_deref() == Some(key)
                && (job.state == JobState::Pending
                    || job.state == JobState::Queued && job.attempt == 0)
        };
        let mut old: Vec<_> = self
            .deployments
            .values()
            .filter(waits)
            .map(|row| row.deployment.id)
            .collect();
        // The newest first, so that none is promoted only to be called off.
        old.sort_by_key(|id| std::cmp::Reverse(self.deployments[id].deployment.number));
        for id in old {
            self.call_off(id, format!("superseded by {by}"), &actor.name)?;
        }
        Ok(())
    }

    fn check_rollback(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        id: ReleaseId,
    ) -> StoreResult<()> {
        let release = &self.release(tenant, id)?.release;
        if release.project != project {
            return Err(not_found("release", id));
        }
        match release.state {
            ReleaseState::Kept | ReleaseState::Live => Ok(()),
            _ => Err(conflict("release", id, "is no longer on its target")),
        }
    }

    fn go_live(&mut self, id: DeploymentId, release: ReleaseId) -> StoreResult<()> {
        let deployment = &self.row_mut(id)?.deployment;
        let (project, turn) = (deployment.project, deployment.number);
        let found = self.releases.get(&release);
        if !found.is_some_and(|row| {
            row.release.project == project && row.release.state != ReleaseState::Gone
        }) {
            return Err(not_found("release", release));
        }
        for row in self
            .releases
            .values_mut()
            .filter(|row| row.release.project == project)
        {
            if row.release.id == release {
                row.release.state = ReleaseState::Live;
                row.turn = turn;
            } else if row.release.state == ReleaseState::Live {
                row.release.state = ReleaseState::Kept;
            }
        }
        self.row_mut(id)?.deployment.release = Some(release);
        Ok(())
    }
}

#[async_trait]
impl Deployments for MemoryStore {
    async fn create_deployment(
        &self,
        actor: &Actor,
        new: NewDeployment,
    ) -> StoreResult<Deployment> {
        self.write(|state| {
            if state.deployments.contains_key(&new.id) {
                return Err(conflict("deployment", new.id, "is taken"));
            }
            let reserved = state
                .deployments
                .values()
                .any(|row| row.notify_job == new.notify_job);
            if reserved || new.notify_job == new.job.id || state.jobs.contains_key(&new.notify_job)
            {
                return Err(conflict("job", new.notify_job, "is taken"));
            }
            state.project(&actor.tenant, new.project)?;
            if let Cause::Rollback { release } = new.cause {
                state.check_rollback(&actor.tenant, new.project, release)?;
            }
            if let Some(key) = new.job.concurrency_key.as_deref().filter(|_| new.supersede) {
                state.supersede(actor, key, new.id)?;
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
            if state.jobs[&deployment.job].job.state == JobState::Running {
                state.move_deployment(id, DeploymentEvent::RequestCancel, &actor.name)?;
                state.row_mut(id)?.cancel_reason = Some(reason.to_owned());
                if let Some(row) = state.jobs.get_mut(&deployment.job) {
                    row.job.cancel_requested = true;
                }
            } else {
                state.call_off(id, reason.to_owned(), &actor.name)?;
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
