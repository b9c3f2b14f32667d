use super::{Engine, EngineError};
use crate::log::LogLine;
use crate::model::{
    Actor, AuditEntry, Deployment, DeploymentId, Page, ProjectId, Release, ReleaseId, StageTimes,
};
use crate::store::QueueStats;

impl Engine {
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
}
