//! How a project goes.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{NewJob, StoreResult};
use crate::model::{Actor, Claim, Project, ProjectId};
use crate::value::TargetName;

/// The wish that a project goes.
#[derive(Debug, Clone)]
pub struct NewRemoval {
    /// See [`Removal`](crate::model::Removal::purge).
    pub purge: bool,
    /// See [`Removal`](crate::model::Removal::forget).
    pub forget: bool,
    /// Whether something of it is left elsewhere in any case.
    pub kept: bool,
    /// The targets that it has to be taken from.
    pub targets: BTreeSet<TargetName>,
    /// What does so. Jobs of an earlier wish stay.
    pub jobs: Vec<NewJob>,
}

/// The removal of projects: the wish and its jobs in one transaction, then what each job has
/// done, then the rows, in as many transactions as it takes.
///
/// ```
/// use deployr_core::model::{Claim, ProjectId};
/// use deployr_core::store::{Removals, StoreResult};
///
/// /// What the last of the jobs does.
/// async fn delete(store: &dyn Removals, claim: &Claim, id: ProjectId) -> StoreResult<()> {
///     while !store.delete_project(claim, id, 1_000).await? {}
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Removals: Send + Sync {
    /// Notes that a project is being removed, and enqueues the jobs. From then on it takes no
    /// new deployment, and its live release is not [listed](super::Releases::live_releases)
    /// any more. A later wish stands in the place of an earlier one.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` when the id of a job is taken.
    async fn begin_removal(
        &self,
        actor: &Actor,
        project: ProjectId,
        removal: NewRemoval,
    ) -> StoreResult<Project>;

    /// Notes that a target has nothing of the project any more: its releases there are
    /// `Gone`. Gives the project as it is then; the same call made again changes nothing.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `NotFound` for the project; `Conflict` when it is not being removed.
    async fn target_cleared(
        &self,
        claim: &Claim,
        project: ProjectId,
        target: &TargetName,
    ) -> StoreResult<Project>;

    /// Deletes what is left of a project, up to about `limit` rows a call: logs first,
    /// deployments and releases, variables and domains, the project last. Called until it
    /// tells that nothing is left. Its name is free then; the audit log stays.
    ///
    /// Unless it was purged on each target, something of the project is left under its slug,
    /// also where a later project of that slug is: that is given to the same tenant again,
    /// and to no other. One that was forgotten may still be
    /// served: its slug is given to nobody.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Conflict` when it is not being removed, has targets left, or, unless
    /// it is forgotten, a deployment that is not over.
    async fn delete_project(
        &self,
        claim: &Claim,
        project: ProjectId,
        limit: u32,
    ) -> StoreResult<bool>;
}
