use std::time::Duration;

use super::{DeployRequest, Engine, EngineError, ProjectRequest};
use crate::bus::Hint;
use crate::log::LogLine;
use crate::model::{
    Actor, AuditEntry, Cause, Deployment, DeploymentId, JobId, Labels, Limit, Page, Project,
    ProjectId, ProjectSettings, Release, ReleaseId, ReleaseState, StageTimes,
};
use crate::pipeline::DeploymentInput;
use crate::store::{NewDeployment, NewJob, NewProject, QueueStats, StoreError};
use crate::value::{ConcurrencyKey, EnvName, EnvValue, GitRef, JobKind, Label, ProjectName, Slug};

/// A deployment that has not started after so long fails with a queue time-out.
const START_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Attempts at a deployment: three, where faults of the machinery end the earlier ones,
/// and one that only puts in order what the third has left.
const ATTEMPTS: u32 = 4;

impl Engine {
    /// Creates a project. Its slug is made from its name; where another project has
    /// that, four letters of the new project's id are added.
    ///
    /// # Errors
    ///
    /// `UnknownTarget`; `Invalid` for settings that the builder refuses; `Conflict` when the
    /// tenant has a project of that name.
    pub async fn create_project(
        &self,
        actor: &Actor,
        request: ProjectRequest,
    ) -> Result<Project, EngineError> {
        let engine = self.inner();
        engine.check(&request.settings)?;
        let id = ProjectId::new(engine.clock.now(), &*engine.entropy);
        let mut new = NewProject {
            id,
            slug: Slug::from_name(&request.name),
            name: request.name,
            settings: request.settings,
            env: Vec::new(),
        };
        for (name, value) in request.env.iter() {
            let sealed = engine.seal_env(&actor.tenant, id, name, value)?;
            new.env.push((name.clone(), sealed));
        }
        match engine.store.create_project(actor, new.clone()).await {
            Err(StoreError::Conflict {
                what: "subdomain", ..
            }) => {
                let id = id.to_string();
                new.slug = Slug::parse(format!("{}-{}", new.slug, &id[id.len() - 4..]))?;
                Ok(engine.store.create_project(actor, new).await?)
            }
            created => Ok(created?),
        }
    }

    /// The project of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn project(&self, actor: &Actor, id: ProjectId) -> Result<Project, EngineError> {
        Ok(self.inner().store.project(&actor.tenant, id).await?)
    }

    /// The project of that name or slug.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` when it is not fit for a name.
    pub async fn project_by_name(&self, actor: &Actor, name: &str) -> Result<Project, EngineError> {
        let name = ProjectName::parse(name)?;
        Ok(self
            .inner()
            .store
            .find_project(&actor.tenant, &name)
            .await?)
    }

    /// The tenant's projects, newest first.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn projects(
        &self,
        actor: &Actor,
        page: Page<ProjectId>,
    ) -> Result<Vec<Project>, EngineError> {
        Ok(self.inner().store.projects(&actor.tenant, page).await?)
    }

    /// Replaces a project's settings, for deployments that start from now on.
    ///
    /// # Errors
    ///
    /// `NotFound`; `UnknownTarget`; `Invalid` for settings that the builder refuses.
    pub async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> Result<Project, EngineError> {
        self.inner().check(&settings)?;
        Ok(self
            .inner()
            .store
            .update_project(actor, id, settings)
            .await?)
    }

    /// Sets a variable of a project's environment, or removes it. Goes for deployments
    /// that start from now on; the live release keeps what it was made with.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn set_env(
        &self,
        actor: &Actor,
        project: ProjectId,
        name: &EnvName,
        value: Option<&EnvValue>,
    ) -> Result<(), EngineError> {
        let engine = self.inner();
        let sealed = match value {
            Some(value) => Some(engine.seal_env(&actor.tenant, project, name, value)?),
            None => None,
        };
        Ok(engine.store.set_env(actor, project, name, sealed).await?)
    }

    /// The names of a project's variables. Values are never given out.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn env_names(
        &self,
        actor: &Actor,
        project: ProjectId,
    ) -> Result<Vec<EnvName>, EngineError> {
        let entries = self.inner().store.env(&actor.tenant, project).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// Asks for a deployment. It is written down with its job in one transaction when
    /// this returns; a worker carries it out.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn deploy(
        &self,
        actor: &Actor,
        project: ProjectId,
        request: DeployRequest,
    ) -> Result<Deployment, EngineError> {
        let project = self.project(actor, project).await?;
        let reference = request
            .reference
            .unwrap_or_else(|| GitRef::Branch(project.settings.branch.clone()));
        self.create(
            actor,
            &project,
            Cause::Deploy { reference },
            !request.keep_waiting,
        )
        .await
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
        self.create(actor, &project, Cause::Rollback { release }, true)
            .await
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

    async fn create(
        &self,
        actor: &Actor,
        project: &Project,
        cause: Cause,
        supersede: bool,
    ) -> Result<Deployment, EngineError> {
        let engine = self.inner();
        let (now, entropy) = (engine.clock.now(), &*engine.entropy);
        let id = DeploymentId::new(now, entropy);
        let input = DeploymentInput {
            tenant: actor.tenant.clone(),
            deployment: id,
        };
        let new = NewDeployment {
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
        };
        let deployment = engine.store.create_deployment(actor, new).await?;
        engine.bus.publish(Hint::Jobs);
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

    /// The deployment of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn deployment(
        &self,
        actor: &Actor,
        id: DeploymentId,
    ) -> Result<Deployment, EngineError> {
        Ok(self.inner().store.deployment(&actor.tenant, id).await?)
    }

    /// The tenant's deployments, newest first; of one project where given.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn deployments(
        &self,
        actor: &Actor,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> Result<Vec<Deployment>, EngineError> {
        Ok(self
            .inner()
            .store
            .deployments(&actor.tenant, project, page)
            .await?)
    }

    /// The stages that a deployment went through, with their times.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn stages(
        &self,
        actor: &Actor,
        id: DeploymentId,
    ) -> Result<Vec<StageTimes>, EngineError> {
        Ok(self.inner().store.stages(&actor.tenant, id).await?)
    }

    /// A project's releases, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn releases(
        &self,
        actor: &Actor,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> Result<Vec<Release>, EngineError> {
        Ok(self
            .inner()
            .store
            .releases(&actor.tenant, project, page)
            .await?)
    }

    /// Up to `limit` lines of a log after the line `after`.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn read_log(
        &self,
        actor: &Actor,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LogLine>, EngineError> {
        Ok(self
            .inner()
            .store
            .read_log(&actor.tenant, id, after, limit)
            .await?)
    }

    /// The tenant's audit log, newest first.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn audit(
        &self,
        actor: &Actor,
        page: Page<i64>,
    ) -> Result<Vec<AuditEntry>, EngineError> {
        Ok(self.inner().store.audit(&actor.tenant, page).await?)
    }

    /// How full the queue is, over all tenants.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn queue_stats(&self) -> Result<QueueStats, EngineError> {
        Ok(self.inner().store.queue_stats().await?)
    }

    /// Where a project can be reached, by the ingress that the engine has.
    #[must_use]
    pub fn url(&self, project: &Project) -> Option<String> {
        self.inner()
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.url(&project.slug))
    }
}
