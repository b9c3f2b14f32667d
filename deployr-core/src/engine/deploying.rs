use std::time::Duration;

use super::{DeployRequest, Engine, EngineError};
use crate::bus::Hint;
use crate::model::{
    Actor, Cause, Deployment, DeploymentId, JobId, Labels, Limit, Project, ProjectId, ReleaseId,
    ReleaseState,
};
use crate::pipeline::DeploymentInput;
use crate::store::{NewDeployment, NewJob, StoreError};
use crate::value::{ConcurrencyKey, GitRef, JobKind, Label};

/// A deployment that has not started after so long fails with a queue time-out.
const START_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Attempts at a deployment: three, where faults of the machinery end the earlier ones,
/// and one that only puts in order what the third has left.
const ATTEMPTS: u32 = 4;

impl Engine {
    /// Asks for a deployment. It is written down with its job in one transaction when
    /// this returns; a worker carries it out.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` of `project` when that is being removed.
    pub async fn deploy(
        &self,
        actor: &Actor,
        project: ProjectId,
        request: DeployRequest,
    ) -> Result<Deployment, EngineError> {
        let new = self.new_deployment(actor, project, request).await?;
        self.create(actor, new).await
    }

    /// The same under an id that the caller knows again.
    pub(crate) async fn deploy_as(
        &self,
        actor: &Actor,
        project: ProjectId,
        id: DeploymentId,
        request: DeployRequest,
    ) -> Result<Deployment, EngineError> {
        let mut new = self.new_deployment(actor, project, request).await?;
        let input = DeploymentInput {
            tenant: actor.tenant.clone(),
            deployment: id,
        };
        (new.id, new.job.input) = (id, serde_json::json!(input));
        self.create(actor, new).await
    }

    /// Asks for the commit of an earlier deployment again.
    ///
    /// # Errors
    ///
    /// `NotFound`, also where that deployment never got to know its commit.
    pub async fn redeploy(
        &self,
        actor: &Actor,
        earlier: DeploymentId,
    ) -> Result<Deployment, EngineError> {
        let earlier = self.deployment(actor, earlier).await?;
        let commit = earlier.commit.ok_or_else(|| StoreError::NotFound {
            what: "commit of deployment",
            key: earlier.id.to_string(),
        })?;
        self.deploy(actor, earlier.project, DeployRequest::commit(commit))
            .await
    }

    /// Asks to go back to a release that is kept. Where none is named, to the one of
    /// those older than the present one that was live last: so a release that was
    /// itself rolled back from is passed over, and a second call goes further back.
    /// Builds nothing.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` when it is no longer on its target; `NoEarlierRelease`.
    pub async fn rollback(
        &self,
        actor: &Actor,
        project: ProjectId,
        release: Option<ReleaseId>,
    ) -> Result<Deployment, EngineError> {
        let project = self.project(actor, project).await?;
        let release = match release {
            Some(release) => release,
            None => self.earlier_release(actor, &project).await?,
        };
        let new = self.planned(actor, &project, Cause::Rollback { release }, true)?;
        self.create(actor, new).await
    }

    async fn earlier_release(
        &self,
        actor: &Actor,
        project: &Project,
    ) -> Result<ReleaseId, EngineError> {
        let store = &self.inner().store;
        let releases = store.releases_on_target(&actor.tenant, project.id).await?;
        let live = releases
            .iter()
            .find(|release| release.state == ReleaseState::Live)
            .map(|release| release.number);
        releases
            .iter()
            .filter(|release| {
                release.state == ReleaseState::Kept && live.is_none_or(|live| release.number < live)
            })
            .max_by_key(|release| release.live_turn)
            .map(|release| release.id)
            .ok_or_else(|| EngineError::NoEarlierRelease {
                project: project.name.to_string(),
            })
    }

    /// The deployment that [`deploy`](Self::deploy) would write down, for an app that does so
    /// in a transaction of its own: by `deploy_in` of the store, and then, once that is
    /// committed, [`announce`](Self::announce).
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn new_deployment(
        &self,
        actor: &Actor,
        project: ProjectId,
        request: DeployRequest,
    ) -> Result<NewDeployment, EngineError> {
        let project = self.project(actor, project).await?;
        let reference = request
            .reference
            .unwrap_or_else(|| GitRef::Branch(project.settings.branch.clone()));
        let cause = Cause::Deploy { reference };
        self.planned(actor, &project, cause, !request.keep_waiting)
    }

    /// Wakes a worker: something was enqueued past the engine. Without it, a worker finds it
    /// with its next poll.
    pub fn announce(&self) {
        self.inner().bus.publish(Hint::Jobs);
    }

    fn planned(
        &self,
        actor: &Actor,
        project: &Project,
        cause: Cause,
        supersede: bool,
    ) -> Result<NewDeployment, EngineError> {
        let engine = self.inner();
        let (now, entropy) = (engine.clock.now(), &*engine.entropy);
        let id = DeploymentId::new(now, entropy);
        let input = DeploymentInput {
            tenant: actor.tenant.clone(),
            deployment: id,
        };
        Ok(NewDeployment {
            id,
            project: project.id,
            cause,
            job: NewJob {
                needs: Labels::from([Label::target(&project.settings.target)]),
                limits: vec![Limit::one(ConcurrencyKey::parse(project.id.to_string())?)],
                max_attempts: ATTEMPTS,
                start_within: START_WITHIN,
                ..NewJob::new(
                    JobId::new(now, entropy),
                    JobKind::parse("deploy")?,
                    serde_json::json!(input),
                )
            },
            supersede,
            notify_job: JobId::new(now, entropy),
        })
    }

    async fn create(&self, actor: &Actor, new: NewDeployment) -> Result<Deployment, EngineError> {
        let deployment = self.inner().store.create_deployment(actor, new).await?;
        self.announce();
        Ok(deployment)
    }

    /// Asks for a deployment to stop: at once where nobody works on it, else once the
    /// worker has stopped. Asking again changes nothing.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> Result<Deployment, EngineError> {
        let deployment = self.inner().store.request_cancel(actor, id, reason).await?;
        self.inner().bus.publish(Hint::Cancel);
        self.inner().bus.publish(Hint::Jobs);
        self.inner().bus.publish(Hint::Deployment(id));
        Ok(deployment)
    }
}
