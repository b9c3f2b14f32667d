use serde::{Deserialize, Serialize};

use super::{HealthCheck, ProjectId};
use crate::secret::Sealed;
use crate::system::Timestamp;
use crate::value::{
    BranchName, BuildCommand, EnvName, GitUrl, OutputDir, ProjectName, RelPath, Slug, TargetName,
    TenantId,
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
    pub framework: Option<String>,
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
    /// How many releases stay on the target, the live one among them. 2..=100.
    #[serde(default = "default_keep")]
    pub keep_releases: u32,
    /// How long a build may take, in seconds. 1..=21600.
    #[serde(default = "default_build_timeout")]
    pub build_timeout_s: u32,
    /// Fetch submodules too; each under the same rules as the repository.
    #[serde(default)]
    pub submodules: bool,
}

fn default_keep() -> u32 {
    5
}

fn default_build_timeout() -> u32 {
    30 * 60
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
            keep_releases: default_keep(),
            build_timeout_s: default_build_timeout(),
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
