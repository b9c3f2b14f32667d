use super::state::{DeploymentRow, State, conflict, not_found};
use crate::model::{
    Actor, AuditAction, DeploymentId, Failure, JobState, ProjectId, ReleaseId, ReleaseState, Stage,
    StageTimes,
};
use crate::state::{DeploymentEvent, JobEvent};
use crate::store::{NewJob, StoreResult};
use crate::value::{JobKind, TenantId};

impl DeploymentRow {
    /// Ends the open stage, and begins the next.
    pub(super) fn begin(&mut self, stage: Stage, attempt: u32, now: crate::system::Timestamp) {
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
    pub(super) fn row_mut(&mut self, id: DeploymentId) -> StoreResult<&mut DeploymentRow> {
        self.deployments
            .get_mut(&id)
            .ok_or_else(|| not_found("deployment", &id))
    }

    /// Moves a deployment by the state machine, and notes it down where that is a change.
    pub(super) fn move_deployment(
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
        let kind = JobKind::parse("notify").expect("a legal kind");
        let input = serde_json::json!({ "tenant": tenant, "deployment": id });
        let notice = NewJob::new(row.notify_job, kind, input);
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
    pub(super) fn call_off(
        &mut self,
        id: DeploymentId,
        reason: String,
        actor: &str,
    ) -> StoreResult<()> {
        let job = self.row_mut(id)?.deployment.job;
        self.end_job(job, JobEvent::Cancel, None)?;
        let failure = Some(Failure::Cancelled { reason });
        self.end_deployment(id, DeploymentEvent::Cancel, failure, actor)
    }

    /// Calls off the deployments of a project that have not started.
    pub(super) fn supersede(
        &mut self,
        actor: &Actor,
        project: ProjectId,
        by: DeploymentId,
    ) -> StoreResult<()> {
        let waits = |row: &&DeploymentRow| {
            let job = &self.jobs[&row.deployment.job].job;
            row.deployment.project == project
                && matches!(job.state, JobState::Pending | JobState::Queued)
                && job.attempt == 0
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

    pub(super) fn check_rollback(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        id: ReleaseId,
    ) -> StoreResult<()> {
        let release = &self.release(tenant, id)?.release;
        if release.project != project {
            return Err(not_found("release", &id));
        }
        match release.state {
            ReleaseState::Kept | ReleaseState::Live => Ok(()),
            _ => Err(conflict("release", &id, "is no longer on its target")),
        }
    }

    pub(super) fn go_live(&mut self, id: DeploymentId, release: ReleaseId) -> StoreResult<()> {
        let deployment = &self.row_mut(id)?.deployment;
        let (project, turn) = (deployment.project, deployment.number);
        let found = self.releases.get(&release);
        if !found.is_some_and(|row| {
            row.release.project == project && row.release.state != ReleaseState::Gone
        }) {
            return Err(not_found("release", &release));
        }
        for row in self
            .releases
            .values_mut()
            .filter(|row| row.release.project == project)
        {
            if row.release.id == release {
                row.release.state = ReleaseState::Live;
                row.release.live_turn = Some(turn);
            } else if row.release.state == ReleaseState::Live {
                row.release.state = ReleaseState::Kept;
            }
        }
        self.row_mut(id)?.deployment.release = Some(release);
        Ok(())
    }
}
