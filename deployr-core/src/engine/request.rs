use serde::Serialize;

use crate::command::PlannedStep;
use crate::model::{ProjectSettings, Recipe};
use crate::value::{
    BranchName, CommitId, EnvSet, GitRef, GitUrl, InvalidValue, ProjectName, TargetName,
};

/// A project that somebody wants to have.
///
/// ```
/// use deployr_core::engine::ProjectRequest;
/// use deployr_core::value::GitUrl;
///
/// let url = GitUrl::parse("https://example.com/acme/blog.git")?;
/// let request = ProjectRequest::new("blog", url)?.target("local")?;
/// assert_eq!(request.settings.branch.as_str(), "main");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProjectRequest {
    /// What people call it.
    pub name: ProjectName,
    /// Everything that can be changed later.
    pub settings: ProjectSettings,
    /// Its environment.
    pub env: EnvSet,
}

impl ProjectRequest {
    /// A project with every default: branch `main`, target `local`.
    ///
    /// # Errors
    ///
    /// When `name` is not fit for a name.
    pub fn new(name: &str, source: GitUrl) -> Result<Self, InvalidValue> {
        let settings =
            ProjectSettings::new(source, BranchName::main(), TargetName::parse("local")?);
        Ok(Self {
            name: ProjectName::parse(name)?,
            settings,
            env: EnvSet::default(),
        })
    }

    /// Another branch than `main`.
    ///
    /// # Errors
    ///
    /// When it is not fit for a branch.
    pub fn branch(mut self, branch: &str) -> Result<Self, InvalidValue> {
        self.settings.branch = BranchName::parse(branch)?;
        Ok(self)
    }

    /// Another target than `local`.
    ///
    /// # Errors
    ///
    /// When it is not fit for a target's name.
    pub fn target(mut self, target: &str) -> Result<Self, InvalidValue> {
        self.settings.target = TargetName::parse(target)?;
        Ok(self)
    }

    /// Its environment.
    #[must_use]
    pub fn env(mut self, env: EnvSet) -> Self {
        self.env = env;
        self
    }
}

/// What to deploy, and how it takes its turn.
#[derive(Debug, Clone, Default)]
pub struct DeployRequest {
    /// The project's branch where left out.
    pub reference: Option<GitRef>,
    /// Leave deployments that wait in the queue alone, instead of superseding them.
    pub keep_waiting: bool,
}

impl DeployRequest {
    /// The newest commit of the project's branch.
    #[must_use]
    pub fn latest() -> Self {
        Self::default()
    }

    /// The newest commit of a branch.
    ///
    /// # Errors
    ///
    /// When it is not fit for a branch.
    pub fn branch(name: &str) -> Result<Self, InvalidValue> {
        Ok(Self {
            reference: Some(GitRef::Branch(BranchName::parse(name)?)),
            ..Self::default()
        })
    }

    /// One commit.
    #[must_use]
    pub fn commit(id: CommitId) -> Self {
        Self {
            reference: Some(GitRef::Commit(id)),
            ..Self::default()
        }
    }
}

/// What a deployment would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What would be deployed.
    pub commit: CommitId,
    /// How it would be built and run.
    pub recipe: Recipe,
    /// Whether the target can switch without downtime.
    pub zero_downtime: bool,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
}
