//! Domains of projects.

use async_trait::async_trait;

use super::{NewJob, StoreResult};
use crate::model::{Actor, Domain, ProjectId};
use crate::value::{CustomDomain, TenantId};

/// How many domains a project may have.
pub const MAX_DOMAINS: u32 = 100;

/// Domains of projects. Any number of projects may wish for a domain; it is verified for one
/// of them at a time.
///
/// ```
/// use deployr_core::model::ProjectId;
/// use deployr_core::store::{Domains, StoreResult};
/// use deployr_core::value::{CustomDomain, TenantId};
///
/// /// Where a project is served.
/// async fn served(store: &dyn Domains, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<CustomDomain>> {
///     let domains = store.domains(tenant, id).await?;
///     let verified = domains.into_iter().filter(|one| one.verified_at.is_some());
///     Ok(verified.map(|one| one.domain).collect())
/// }
/// ```
#[async_trait]
pub trait Domains: Send + Sync {
    /// Notes that a project wishes for a domain, whoever has it. `token` is kept, unless a
    /// project of the tenant wishes for it already: then that one's is. A second call gives
    /// what is there.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project; `Conflict` when it has [`MAX_DOMAINS`] others.
    async fn add_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        token: &str,
    ) -> StoreResult<Domain>;

    /// A project's domains, by name.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn domains(&self, tenant: &TenantId, project: ProjectId) -> StoreResult<Vec<Domain>>;

    /// The project for which a domain is verified, of whichever tenant. For the engine, which
    /// tells nobody.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn domain_holder(&self, domain: &CustomDomain) -> StoreResult<Option<Domain>>;

    /// Notes that a domain is the project's, or (`false`) no longer, and enqueues `job`, which
    /// tells the ingress. Where that is so already, nothing changes and no job is enqueued.
    ///
    /// # Errors
    ///
    /// `NotFound` for a domain that the project has not; `Conflict` of `domain` when it is
    /// another project's.
    async fn verify_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        verified: bool,
        job: NewJob,
    ) -> StoreResult<Domain>;

    /// Takes a domain from a project; enqueues `job` where it was verified.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn remove_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        job: NewJob,
    ) -> StoreResult<()>;
}
