//! What places releases on a target.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::builder::Artifact;
use crate::command::PlannedStep;
use crate::context::StepContext;
use crate::error::{StepResult, Verdict};
use crate::model::{ProjectId, Recipe, ReleaseId, Turn};
use crate::value::{CommitId, EnvSet, Slug};

/// Everything that an executor needs to know of a release. Made from the stored
/// release, so that it is the same at the first deployment, after a restart, and at
/// a rollback.
#[derive(Debug, Clone)]
pub struct ReleaseSpec {
    /// The project.
    pub project: ProjectId,
    /// Names the project's place on the target.
    pub slug: Slug,
    /// The release.
    pub release: ReleaseId,
    /// Names the release's place on the target.
    pub number: i64,
    /// What it was made from.
    pub commit: CommitId,
    /// How it is run.
    pub recipe: Recipe,
    /// Its environment.
    pub env: EnvSet,
}

/// Where a release can be reached, for an ingress and for health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Endpoint {
    /// It answers HTTP here.
    Http {
        /// Address and port.
        address: SocketAddr,
    },
    /// Files to be served from here.
    Folder {
        /// The release's own folder, not a link that moves.
        path: PathBuf,
        /// Unknown paths get `index.html`.
        single_page: bool,
    },
    /// Files that the target's own web server gives out: those of the present release, so
    /// that the executor's switch is all that it takes.
    Served {
        /// The release's own folder on the target.
        path: PathBuf,
        /// Where that web server answers; none where requests get there by themselves.
        address: Option<SocketAddr>,
    },
}

impl Endpoint {
    /// What an ingress has to do with it: nothing, where the target serves by itself.
    #[must_use]
    pub fn for_ingress(self) -> Option<Self> {
        match self {
            Self::Served { address, .. } => address.map(|address| Self::Http { address }),
            other => Some(other),
        }
    }
}

/// What an executor can do, as data. The pipeline plans by it; the conformance
/// suite tests by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorCapabilities {
    /// Runs long-lived processes, not only files.
    pub processes: bool,
    /// Old and new release can be up at the same time.
    pub side_by_side: bool,
    /// [`Executor::switch`] is one indivisible change.
    pub atomic_switch: bool,
    /// A failed [`Executor::verify`] leaves the old release serving.
    pub verifies: bool,
}

impl ExecutorCapabilities {
    /// Whether a deployment may be called free of downtime.
    #[must_use]
    pub fn zero_downtime(&self) -> bool {
        self.side_by_side && self.atomic_switch && self.verifies
    }
}

/// Places a release on a target, switches to it, takes it back.
///
/// # Order of calls
///
/// A deployment: [`prepare`](Self::prepare), [`start`](Self::start),
/// [`verify`](Self::verify), [`switch`](Self::switch), then, once the ingress has
/// drained the old release, [`retire`](Self::retire) of that one, and
/// [`prune`](Self::prune). When any of the first three fails:
/// [`discard`](Self::discard) of the new release. A rollback is the same without
/// `prepare`. After a restart of the engine: `start` of each live release. When the project
/// goes: [`remove`](Self::remove).
///
/// Calls for one project never overlap, save that a worker which has lost its lease
/// may be in its last call while the next has begun; calls for different projects do.
///
/// # A second call
///
/// Any call may be made again after it has succeeded, failed, or been cut off by the
/// death of the process, and then brings about the same. That is how a deployment
/// goes on after a crash.
///
/// ```
/// use deployr_core::builder::Artifact;
/// use deployr_core::context::StepContext;
/// use deployr_core::error::StepResult;
/// use deployr_core::executor::{Executor, ReleaseSpec};
/// use deployr_core::model::Turn;
///
/// /// A deployment as the engine does it, where nothing is in front of the target.
/// async fn deploy(
///     target: &dyn Executor,
///     spec: &ReleaseSpec,
///     artifact: &Artifact,
///     turn: Turn,
///     ctx: &StepContext,
/// ) -> StepResult<()> {
///     let up = async {
///         target.prepare(spec, artifact, ctx).await?;
///         let endpoint = target.start(spec, ctx).await?;
///         target.verify(spec, &endpoint, ctx).await
///     };
///     if let Err(error) = up.await {
///         target.discard(&spec.slug, spec.number).await?;
///         return Err(error);
///     }
///     target.switch(spec, turn, ctx).await?;
///     target.prune(&spec.slug, &[spec.number]).await?;
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Executor: Send + Sync {
    /// A short name for logs and plans: `local`.
    fn name(&self) -> &str;

    /// What it can do. Never changes while the engine runs.
    fn capabilities(&self) -> ExecutorCapabilities;

    /// Whether the target can do what the recipe asks for. Asked by a plan, and before a
    /// build; looks at nothing but its arguments and the executor's own settings. All is
    /// accepted where an executor says nothing.
    ///
    /// # Errors
    ///
    /// Verdict `unsupported` with what to do instead.
    fn accepts(&self, _slug: &Slug, _recipe: &Recipe) -> Result<(), Verdict> {
        Ok(())
    }

    /// What a deployment would do to the target, without doing it.
    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep>;

    /// Places the artifact beside the present release. Nothing serves it yet. A
    /// half-placed release is never mistaken for a whole one.
    ///
    /// # Errors
    ///
    /// A fault when there is no room, permission or connection; `Stopped`.
    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()>;

    /// Brings the placed release up beside the present one and says where it can be
    /// reached. When it is up already, says so and changes nothing.
    ///
    /// # Errors
    ///
    /// Verdict `start_failed`, `release_gone`; a fault; `Stopped`.
    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint>;

    /// Waits until the release is healthy by its recipe.
    ///
    /// # Errors
    ///
    /// Verdict `unhealthy` with the last probe's result, `start_failed` when it ended
    /// meanwhile, with its last output in the log; a fault; `Stopped`.
    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()>;

    /// Makes the release the present one on the target, in one step. A target refuses a
    /// turn below the highest that it has seen, so that a worker which has lost its lease
    /// cannot undo a newer switch, and a release that is not placed.
    ///
    /// A target that can only show a release to visitors by switching to it may look at it
    /// then: where it is not well, it goes back to the one before, and says so.
    ///
    /// # Errors
    ///
    /// A fault, not retryable when `turn` is too low; verdict `release_gone`, or `unhealthy`
    /// with what visitors got; `Stopped`.
    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()>;

    /// The number of the release that is present on the target.
    ///
    /// # Errors
    ///
    /// A fault when the target cannot be read.
    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>>;

    /// Stops what a release that no longer serves has running: asks first, kills
    /// after `grace`. Its files stay for a rollback.
    ///
    /// # Errors
    ///
    /// A fault when it could not be stopped; one that is not retryable when it is the
    /// present release, as it may have become again since a worker that has lost its
    /// lease last looked.
    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()>;

    /// Stops a release that never became present, and removes it.
    ///
    /// # Errors
    ///
    /// A fault when it could not be removed.
    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()>;

    /// Takes a project away, whatever there is of it: stops what runs, also the present
    /// release, and removes all releases and what the target knows of turns, so that the
    /// next project of that name begins anew. What serves by itself is put back to what it
    /// was before deployr came. One that is not there is no error.
    ///
    /// What the app itself has written stays (shared folders, volumes, databases), unless it
    /// is to be `purge`d; a later project of that name finds it. Made by nobody but deployr
    /// is what goes: nothing else is touched.
    ///
    /// Called again after it was cut off at any point, it goes on where it was.
    ///
    /// # Errors
    ///
    /// A fault that names what is left, and what to do where it is not retryable.
    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()>;

    /// Removes the releases of the project that are neither in `keep` nor the present one.
    /// One with a number above all of these is left alone: a later deployment may be
    /// placing it. Of those that stay, stops all but the present one, as by
    /// [`retire`](Self::retire). Gives the numbers of those removed.
    ///
    /// # Errors
    ///
    /// A fault when one could not be removed.
    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>>;
}
