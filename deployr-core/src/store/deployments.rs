//! Deployments, and how they end.

use async_trait::async_trait;

use super::{NewJob, StoreResult};
use crate::model::{
    Actor, Cause, Claim, Deployment, DeploymentId, Failure, JobId, Page, ProjectId, ReleaseId,
    Stage, StageTimes,
};
use crate::value::{CommitId, TenantId};

/// A deployment to be created, with the job that carries it out. All ids are fresh,
/// from the caller.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// Its key.
    pub id: DeploymentId,
    /// Of which project of the actor's tenant.
    pub project: ProjectId,
    /// What is asked for.
    pub cause: Cause,
    /// The job, of kind `deploy`. A limit of one makes the project's deployments take
    /// turns.
    pub job: NewJob,
    /// Whether deployments of the same project that have not started are called off for
    /// this one (reason `superseded by <id>`).
    pub supersede: bool,
    /// The key of the job of kind `notify`, with input `{"tenant": …, "deployment": …}`,
    /// that the store enqueues in the transaction in which the deployment becomes final.
    pub notify_job: JobId,
}

/// How a worker ends a deployment, and the deployment's job with it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The release is live: it becomes `Live`, the one before it `Kept`; the job is completed.
    Success {
        /// The release, recorded earlier under the same claim or kept from before.
        release: ReleaseId,
    },
    /// A verdict, or a fault that no attempt can mend: the job is completed for
    /// [`Failure::Verdict`], failed for [`Failure::Fault`]. A release that this
    /// deployment had placed becomes `Gone`.
    Failed(Failure),
    /// The work has stopped after a request to cancel; the job is cancelled. A release
    /// that this deployment had placed becomes `Gone`.
    Cancelled,
}

/// Deployments.
///
/// ```
/// use deployr_core::model::{Page, ProjectId};
/// use deployr_core::store::{Deployments, StoreResult};
/// use deployr_core::value::TenantId;
///
/// /// Whether a project's newest deployment is still on its way.
/// async fn is_busy(store: &dyn Deployments, tenant: &TenantId, id: ProjectId) -> StoreResult<bool> {
///     let newest = store.deployments(tenant, Some(id), Page::first(1)).await?;
///     Ok(newest.iter().any(|deployment| !deployment.status.is_final()))
/// }
/// ```
#[async_trait]
pub trait Deployments: Send + Sync {
    /// Creates a deployment, its first stage, its job and its audit entry, and
    /// supersedes older ones where asked. The job is `queued`, or `pending` while
    /// there is no room for it.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project or the release; `Conflict` when an id is taken: the
    /// same call had been carried out before; `Conflict` of `project` when that is being
    /// removed.
    async fn create_deployment(&self, actor: &Actor, new: NewDeployment)
    -> StoreResult<Deployment>;

    /// The deployment of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn deployment(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Deployment>;

    /// The tenant's deployments, newest first; of one project where given.
    ///
    /// # Errors
    ///
    /// Only the store's own: an unknown project has none.
    async fn deployments(
        &self,
        tenant: &TenantId,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> StoreResult<Vec<Deployment>>;

    /// The stages that a deployment went through, in order.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn stages(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Vec<StageTimes>>;

    /// The next stage begins: ends the present one, and moves the status to the one
    /// that the stage belongs to. Entering the present stage again changes nothing.
    /// Notes the commit where given.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Illegal`, in particular when the deployment is being cancelled.
    async fn enter_stage(
        &self,
        claim: &Claim,
        id: DeploymentId,
        stage: Stage,
        commit: Option<&CommitId>,
    ) -> StoreResult<Deployment>;

    /// Asks for a deployment to stop. At once `Cancelled` where no worker has begun it,
    /// else `Cancelling`, and the job's `cancel_requested` is set: only a worker can put
    /// the target in order. A job that waits for its next attempt is due at once. Asking
    /// again, and asking after it has ended, changes nothing: see the status that is
    /// given back.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn request_cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> StoreResult<Deployment>;

    /// Ends a deployment and its job, notes the releases' new states, enqueues the
    /// notification and promotes the next pending job of its keys. The same call made
    /// again (same claim, same outcome) changes nothing and succeeds. A success is
    /// accepted while `Cancelling`: the switch came before the wish.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Illegal`; `NotFound` for the release.
    async fn finish(
        &self,
        claim: &Claim,
        id: DeploymentId,
        outcome: Outcome,
    ) -> StoreResult<Deployment>;
}
