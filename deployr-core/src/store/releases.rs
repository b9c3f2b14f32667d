//! Releases, and where they are.

use async_trait::async_trait;

use super::StoreResult;
use crate::model::{Claim, DeploymentId, Page, ProjectId, Recipe, Release, ReleaseId};
use crate::secret::Sealed;
use crate::value::{CommitId, Slug, TargetName, TenantId};

/// A release to be recorded. The id is fresh, from the caller.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Its key.
    pub id: ReleaseId,
    /// The executor that holds it.
    pub target: TargetName,
    /// What it was made from.
    pub commit: CommitId,
    /// Content digest of the artifact.
    pub digest: String,
    /// How it is run.
    pub recipe: Recipe,
    /// Its environment, sealed to the row of this id.
    pub env: Sealed,
}

/// Releases.
///
/// ```
/// use deployr_core::model::{ProjectId, ReleaseState};
/// use deployr_core::store::{Releases, StoreResult};
/// use deployr_core::value::TenantId;
///
/// /// The number of the release that serves.
/// async fn live(store: &dyn Releases, tenant: &TenantId, id: ProjectId) -> StoreResult<Option<i64>> {
///     let releases = store.releases_on_target(tenant, id).await?;
///     let live = releases.iter().find(|release| release.state == ReleaseState::Live);
///     Ok(live.map(|release| release.number))
/// }
/// ```
#[async_trait]
pub trait Releases: Send + Sync {
    /// Records the release that a deployment is about to place, and gives it the
    /// project's next number. A release that an earlier attempt of the same deployment
    /// had recorded becomes `Gone`; the same id made again is given back as it is.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn record_release(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        new: NewRelease,
    ) -> StoreResult<Release>;

    /// The release of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn release_by_id(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<Release>;

    /// A project's releases, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn releases(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> StoreResult<Vec<Release>>;

    /// The live releases of all tenants: what an engine brings up again after a restart. Not
    /// those of projects that are being removed.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn live_releases(&self, page: Page<ReleaseId>) -> StoreResult<Vec<LiveRelease>>;

    /// A project's releases that are not gone, newest first: all that its target should
    /// have. As few as are kept, however many there were.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn releases_on_target(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<Release>>;

    /// Notes that releases of the deployment's project leave their target. Live ones are
    /// left as they are. Called before they are removed, so that nobody counts on one
    /// that is gone.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn mark_gone(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        numbers: &[i64],
    ) -> StoreResult<()>;
}

/// A live release and what it takes to serve it.
#[derive(Debug, Clone)]
pub struct LiveRelease {
    /// The release.
    pub release: Release,
    /// The project's name in host names.
    pub slug: Slug,
}
