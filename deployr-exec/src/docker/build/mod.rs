//! Builds in containers: a repository's Dockerfile, or a preset's commands in an image that
//! has the tools for them.

mod buildkit;
mod command;
mod dockerfile;
mod limits;
mod room;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use deployr_core::builder::{Artifact, BuildSpec, Builder, Workspace};
use deployr_core::command::{Command, PlannedStep};
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::model::{ProjectId, ProjectSettings, Recipe};
use deployr_core::value::InvalidValue;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use limits::BuildLimits;

use super::DockerExecutor;
use super::client::Client;
use super::logins::Logins;
use super::naming::Instance;
use crate::framework::{self, Makes};
use crate::local::blocking;
use crate::local::build::{LocalBuilder, artifact_of};

/// Builds in containers of a Docker engine of this host. Cheap to clone.
///
/// A build has a network of its own, in which no other build and no release is, and its
/// workspace and its project's cache of this host's files; no socket of the engine. What a
/// preset runs has no privileges and no capabilities. Steps of a Dockerfile are root in
/// their containers, with Docker's usual capabilities, as most of them need it; they are
/// given none of the project's variables, since what they are given stays in the image.
///
/// ```
/// use deployr_exec::docker::DockerBuilder;
///
/// let builder = DockerBuilder::new("/var/lib/deployr/docker-builds").image("node:22");
/// ```
#[derive(Debug, Clone)]
pub struct DockerBuilder {
    root: PathBuf,
    client: Arc<Client>,
    workspaces: LocalBuilder,
    image: Option<String>,
    makes: Makes,
    limits: BuildLimits,
    pass_env: Vec<String>,
    buildkit: bool,
    buildkit_client: Arc<OnceCell<buildkit::Client>>,
    instance: Arc<OnceCell<Instance>>,
}

impl DockerBuilder {
    /// A builder with its workspaces and caches in the folder `root`, which it makes, for
    /// the engine at [`DockerExecutor::SOCKET`]. No other builder may have the same folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            client: Arc::new(Client::new(DockerExecutor::SOCKET.into())),
            workspaces: LocalBuilder::new(&root),
            root,
            image: None,
            makes: Makes::Images,
            limits: BuildLimits::default(),
            pass_env: LocalBuilder::network_variables()
                .map(str::to_owned)
                .collect(),
            buildkit: false,
            buildkit_client: Arc::default(),
            instance: Arc::default(),
        }
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.client = Arc::new(Client::new(path.into()));
        self
    }

    /// The image that commands are run in, as `node:22`; fetched when it is first needed. It
    /// must have `/bin/sh` and the tools that builds need. Without one only Dockerfiles, and
    /// what needs no command, can be built.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// Whether a repository's compose file comes before all else: for a
    /// [`ComposeExecutor`](super::compose::ComposeExecutor), which builds its images itself.
    #[cfg(feature = "compose")]
    #[must_use]
    pub fn compose(mut self, compose: bool) -> Self {
        self.makes = match compose {
            true => Makes::Services,
            false => Makes::Images,
        };
        self
    }

    /// What one build may use.
    #[must_use]
    pub fn limits(mut self, limits: BuildLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Variables of deployr's environment that commands get too, where they are set; as
    /// [`LocalBuilder::pass_env`]. Of a Dockerfile's steps, those that Docker itself knows:
    /// proxies.
    #[must_use]
    pub fn pass_env<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.pass_env = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether Dockerfiles may be built by BuildKit, where their project asks for it. It holds no
    /// build to [`limits`](Self::limits) of memory and processors, and its steps are in the
    /// engine's own network with all others that are. Not by default.
    #[must_use]
    pub fn buildkit(mut self, allowed: bool) -> Self {
        self.buildkit = allowed;
        self
    }

    /// Removes the builds and the workspaces of a deployr that died, and says how many
    /// workspaces that were. To be called when deployr starts, before its workers do.
    ///
    /// # Errors
    ///
    /// A fault when something could not be removed.
    pub async fn remove_stale(&self) -> StepResult<usize> {
        // Also where the engine is away.
        Logins::remove_stale(&self.root)?;
        room::remove_all(&self.client, &self.instance().await?).await?;
        self.workspaces.remove_stale().await
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn instance(&self) -> StepResult<Instance> {
        let read = async || {
            let root = self.root.clone();
            blocking(move || Instance::of(&root)).await
        };
        self.instance.get_or_try_init(read).await.cloned()
    }

    /// Runs all of it, in a room that is gone afterwards, with whatever is left in it.
    async fn run(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Option<Artifact>> {
        let is_image = framework::is_dockerfile(&spec.recipe);
        if !is_image && spec.recipe.commands.is_empty() {
            return Ok(None);
        }
        let name = self.workspaces.name_of(&spec.workspace)?;
        let instance = self.instance().await?;
        let room = room::Room::new(&self.client, &instance, &name);
        let deadline = Instant::now() + spec.timeout;
        let work = async {
            room.make().await?;
            match is_image {
                true => dockerfile::build(self, spec, &room, ctx).await.map(Some),
                false => command::run_all(self, spec, &room, ctx)
                    .await
                    .map(|()| None),
            }
        };
        let ended = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(StepError::Stopped),
            ended = work => ended,
            () = tokio::time::sleep_until(deadline) => Err(verdict::timed_out(spec.timeout)),
        };
        // What was made is worth nothing while somebody may still change it.
        room.clear().await.and(ended)
    }
}

#[async_trait]
impl Builder for DockerBuilder {
    fn name(&self) -> &str {
        "docker"
    }

    fn check(&self, settings: &ProjectSettings) -> Result<(), InvalidValue> {
        let framework = settings.framework.as_ref();
        framework.map_or(Ok(()), |name| framework::check(name, self.makes))
    }

    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        let place = recipe.root.as_ref().map(|root| format!(" in {root}"));
        let place = place.unwrap_or_default();
        if framework::is_dockerfile(recipe) {
            let by = match recipe.images.needs_buildkit() {
                true => " by BuildKit",
                false => "",
            };
            return vec![PlannedStep::new(format!("build the Dockerfile{place}{by}"))];
        }
        let image = self.image.as_deref().unwrap_or("an image that is not set");
        let commands = recipe.commands.iter();
        let what = format!("build{place} in a container of {image}");
        let planned = commands.map(|line| PlannedStep::run(&what, Command::shell(line.as_str())));
        planned.collect()
    }

    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        // Also where the engine is away: a plan only reads.
        if self.root.join("instance").exists() {
            let instance = self.instance().await?;
            room::remove_earlier(&self.client, &instance, ctx).await?;
        }
        self.workspaces.prepare(ctx).await
    }

    async fn detect(
        &self,
        workspace: &Workspace,
        settings: &ProjectSettings,
    ) -> StepResult<Recipe> {
        let (dir, settings) = (workspace.checkout.clone(), settings.clone());
        let makes = self.makes;
        blocking(move || framework::detect(&dir, &settings, makes)).await
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let began = SystemTime::now();
        match self.run(spec, ctx).await? {
            Some(image) => Ok(image),
            None => artifact_of(spec, self.limits.output_bytes, began, ctx).await,
        }
    }

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        let name = self.workspaces.name_of(workspace)?;
        let cleared = async {
            if !self.root.join("instance").exists() {
                return Ok(());
            }
            let instance = self.instance().await?;
            let room = room::Room::new(&self.client, &instance, &name);
            room.clear().await?;
            self.client.remove_image(&room.image()).await
        };
        // The one may be possible where the other is not.
        let cleared = cleared.await;
        self.workspaces.clean(workspace).await.and(cleared)
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        self.workspaces.forget(project).await
    }
}

/// A build's commands want an image.
fn no_image() -> StepError {
    StepError::verdict(
        VerdictCode::Unsupported,
        "this target has no image that builds could run in; set its `image`, or add a \
         Dockerfile to the repository",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn logins_go_also_where_the_engine_is_away() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join(".logins/x");
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("config.json"), "{}").unwrap();
        let builder = DockerBuilder::new(root.path()).socket("/no/such.sock");
        assert!(builder.remove_stale().await.is_err());
        assert!(!left.exists());
    }
}
