//! What turns a checkout into an artifact.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::command::PlannedStep;
use crate::context::StepContext;
use crate::error::StepResult;
use crate::model::{ProjectId, ProjectSettings, Recipe};
use crate::value::{EnvSet, InvalidValue};

/// A folder of one attempt of one deployment, made and removed by the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The workspace itself.
    pub path: PathBuf,
    /// The empty folder in it that the source is checked out into.
    pub checkout: PathBuf,
}

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildSpec {
    /// Whose cache folder may be used.
    pub project: ProjectId,
    /// Where the checkout is.
    pub workspace: Workspace,
    /// What to run, and what comes out.
    pub recipe: Recipe,
    /// The project's environment.
    pub env: EnvSet,
    /// After so long the build is killed.
    pub timeout: Duration,
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it lies: inside the workspace, until [`Builder::clean`].
    pub content: ArtifactContent,
    /// A digest of its content, as `sha256:…`.
    pub digest: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The forms that an artifact can have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactContent {
    /// A folder of files. Its links stay inside it.
    Folder(PathBuf),
    /// A container image, by digest.
    Image(String),
}

/// Makes artifacts, isolated from the engine and from other projects, with its
/// output streamed into the context's log.
///
/// # Order of calls
///
/// For each attempt of a deployment: [`prepare`](Self::prepare), then the source is
/// checked out into the workspace, then [`detect`](Self::detect),
/// [`build`](Self::build), and, whatever happened, [`clean`](Self::clean), after the
/// executor has taken the artifact. Calls for different deployments may run at the
/// same time.
///
/// # A second call
///
/// A later attempt has a workspace of its own; `prepare` first removes what an
/// earlier attempt of the same deployment has left behind. `clean` of a workspace
/// that is gone succeeds.
///
/// ```
/// use deployr_core::builder::Builder;
/// use deployr_core::context::StepContext;
/// use deployr_core::error::StepResult;
/// use deployr_core::model::{ProjectSettings, Recipe};
///
/// /// What a checkout is taken for, in a workspace that is gone when this returns.
/// async fn recipe_of(
///     builder: &dyn Builder,
///     settings: &ProjectSettings,
///     ctx: &StepContext,
/// ) -> StepResult<Recipe> {
///     let workspace = builder.prepare(ctx).await?;
///     // Here a source provider writes into `workspace.checkout`.
///     let recipe = builder.detect(&workspace, settings).await;
///     builder.clean(&workspace).await?;
///     recipe
/// }
/// ```
#[async_trait]
pub trait Builder: Send + Sync {
    /// A short name for logs and plans: `local`.
    fn name(&self) -> &str;

    /// Whether a project may have these settings, before they are stored. Looks at them
    /// alone: whether they fit the repository is seen by [`detect`](Self::detect).
    ///
    /// # Errors
    ///
    /// The value that no repository would fit, such as a framework that there is no
    /// preset of. This default refuses none.
    fn check(&self, settings: &ProjectSettings) -> Result<(), InvalidValue> {
        let _ = settings;
        Ok(())
    }

    /// What [`build`](Self::build) would do, without doing it.
    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep>;

    /// Makes an empty workspace.
    ///
    /// # Errors
    ///
    /// A fault when there is no room or no permission.
    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace>;

    /// Decides how the checkout is built: the settings, over the repository's
    /// `deployr.toml`, over the preset of the framework that is found in it.
    /// Reads, and runs nothing.
    ///
    /// # Errors
    ///
    /// Verdict `config_invalid` with the field and the rule.
    async fn detect(&self, workspace: &Workspace, settings: &ProjectSettings)
    -> StepResult<Recipe>;

    /// Runs the recipe's commands and collects the output.
    ///
    /// Nothing that the build has started is alive when this returns, on any path.
    ///
    /// # Errors
    ///
    /// Verdict `build_failed`, `build_timed_out`, `disk_full`, `out_of_memory`,
    /// `output_missing`, `output_escapes`, `too_large`; a fault when the build could
    /// not be started; `Stopped`.
    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact>;

    /// Removes the workspace and all that is in it.
    ///
    /// # Errors
    ///
    /// A fault when something could not be removed; it is tried again at the next
    /// [`prepare`](Self::prepare).
    async fn clean(&self, workspace: &Workspace) -> StepResult<()>;

    /// Removes what is kept of a project only for the next build to be fast, as it goes.
    /// Nothing there is no error.
    ///
    /// # Errors
    ///
    /// A fault when something could not be removed.
    async fn forget(&self, project: ProjectId) -> StepResult<()>;
}
