//! Projects and their environments.

use async_trait::async_trait;

use super::StoreResult;
use crate::model::{Actor, EnvEntry, Page, Project, ProjectId, ProjectSettings};
use crate::secret::Sealed;
use crate::value::{EnvName, ProjectName, Slug, TenantId};

/// A project to be created. The id is fresh, from the caller.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its key.
    pub id: ProjectId,
    /// What people call it. Unique in the tenant, by its [`key`](ProjectName::key).
    pub name: ProjectName,
    /// Unique in the store, over all tenants.
    pub slug: Slug,
    /// Its settings.
    pub settings: ProjectSettings,
    /// Its environment, each value sealed to its row.
    pub env: Vec<(EnvName, Sealed)>,
}

/// Projects and their environments.
///
/// ```
/// use deployr_core::store::{Projects, StoreResult};
/// use deployr_core::value::{GitUrl, ProjectName, TenantId};
///
/// /// Where a project's commits come from.
/// async fn source(store: &dyn Projects, tenant: &TenantId, name: &ProjectName) -> StoreResult<GitUrl> {
///     Ok(store.find_project(tenant, name).await?.settings.source)
/// }
/// ```
#[async_trait]
pub trait Projects: Send + Sync {
    /// Creates a project of the actor's tenant, with its environment.
    ///
    /// # Errors
    ///
    /// `Conflict`: of `project` when the id is taken or the tenant has one of that name,
    /// of `subdomain` when only the slug is taken, or something is left of another tenant's
    /// project under it.
    async fn create_project(&self, actor: &Actor, new: NewProject) -> StoreResult<Project>;

    /// The project of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Project>;

    /// The project of that name; where there is none, the one that has it as its slug.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn find_project(&self, tenant: &TenantId, name: &ProjectName) -> StoreResult<Project>;

    /// The tenant's projects, newest first.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn projects(&self, tenant: &TenantId, page: Page<ProjectId>)
    -> StoreResult<Vec<Project>>;

    /// Replaces a project's settings. Deployments that have started are not affected.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> StoreResult<Project>;

    /// Sets a variable, or removes it where `value` is none. Removing an absent one succeeds.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn set_env(
        &self,
        actor: &Actor,
        id: ProjectId,
        name: &EnvName,
        value: Option<Sealed>,
    ) -> StoreResult<()>;

    /// A project's variables, by name.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn env(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<EnvEntry>>;
}
