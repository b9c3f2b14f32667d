use serde::{Deserialize, Serialize};

use super::{HealthCheck, ProjectId, Removal};
use crate::secret::Sealed;
use crate::system::Timestamp;
use crate::value::{
    BranchName, BuildCommand, BuildTimeout, EnvName, Framework, GitUrl, KeepReleases, OutputDir,
    ProjectName, RelPath, Slug, TargetName, TenantId,
};

/// A source repository, how it is built, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its key.
    pub id: ProjectId,
    /// Whose.
    pub tenant: TenantId,
    /// What people call it.
    pub name: ProjectName,
    /// Its name in folders and host names: `<slug>.localhost`. Unique in the store.
    pub slug: Slug,
    /// What can be changed.
    pub settings: ProjectSettings,
    /// How far its removal has come; none while it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its settings last changed.
    pub updated_at: Timestamp,
}

/// What can be changed of a project. Whatever is left out is decided by the preset
/// of the framework that is found in the repository, or by its `deployr.toml`;
/// whatever is set here wins over both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectSettings {
    /// The repository.
    pub source: GitUrl,
    /// What a push or a deployment without a ref means.
    pub branch: BranchName,
    /// The executor, by the name under which the engine has it.
    pub target: TargetName,
    /// The folder of the repository that holds the app; the root where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RelPath>,
    /// A preset by name, instead of the one that detection finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<Framework>,
    /// Installs what the build needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<BuildCommand>,
    /// Builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildCommand>,
    /// What of the built checkout becomes the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputDir>,
    /// Runs the release as a process; a static site where neither this nor the preset has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<BuildCommand>,
    /// When the release counts as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Folders and files that all releases share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Vec<RelPath>>,
    /// Folders of the release that its process may write to, besides what is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<Vec<RelPath>>,
    /// How many releases stay on the target, the live one among them.
    #[serde(default)]
    pub keep_releases: KeepReleases,
    /// How long a build may take, in seconds.
    #[serde(default)]
    pub build_timeout_s: BuildTimeout,
    /// Fetch submodules too; each under the same rules as the repository.
    #[serde(default)]
    pub submodules: bool,
}

impl ProjectSettings {
    /// Settings with every default: branch `main` to the executor called `local`.
    #[must_use]
    pub fn new(source: GitUrl, branch: BranchName, target: TargetName) -> Self {
        Self {
            source,
            branch,
            target,
            root: None,
            framework: None,
            install: None,
            build: None,
            output: None,
            start: None,
            health: None,
            shared: None,
            writable: None,
            keep_releases: KeepReleases::default(),
            build_timeout_s: BuildTimeout::default(),
            submodules: false,
        }
    }
}

/// One variable of a project's environment, sealed to its row.
#[derive(Debug, Clone)]
pub struct EnvEntry {
    /// Its name.
    pub name: EnvName,
    /// Its value.
    pub value: Sealed,
    /// When it was set.
    pub updated_at: Timestamp,
}
