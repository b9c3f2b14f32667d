use serde::{Deserialize, Serialize};

use super::{DeploymentId, ProjectId, Recipe, ReleaseId};
use crate::secret::Sealed;
use crate::system::Timestamp;
use crate::value::{CommitId, TargetName, TenantId};

/// An artifact placed on a target: an immutable record of what was deployed and
/// with which settings, from which it can be made live again without a build.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its key.
    pub id: ReleaseId,
    /// Whose.
    pub tenant: TenantId,
    /// Of which project.
    pub project: ProjectId,
    /// The deployment that made it. One release a deployment.
    pub deployment: DeploymentId,
    /// Counts the project's releases from 1; names its folder on a target.
    pub number: i64,
    /// The executor that holds it.
    pub target: TargetName,
    /// What it was made from.
    pub commit: CommitId,
    /// Content digest of the artifact, as the builder tells it.
    pub digest: String,
    /// How it is run, as it was decided when it was built.
    pub recipe: Recipe,
    /// The environment that it was made with, sealed to this row.
    pub env: Sealed,
    /// Whether it serves, could serve again, or is gone.
    pub state: ReleaseState,
    /// The number of the deployment that last made it live; none where it never was.
    pub live_turn: Option<i64>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// Whether a release serves, could serve again, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseState {
    /// On the target (or on its way there), never switched to.
    Placed,
    /// The project's traffic goes here. At most one a project.
    Live,
    /// Was live, and is kept for a rollback.
    Kept,
    /// Taken off the target by retention, or because its deployment failed.
    Gone,
}
