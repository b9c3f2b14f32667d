//! Builds as confined processes on this host.

pub(crate) mod env;
#[cfg_attr(
    not(feature = "docker"),
    allow(dead_code, reason = "of Docker's programs")
)]
pub(crate) mod lifeline;
mod limits;
mod output;
mod process;
mod pump;
mod reap;
pub(crate) mod verdict;
pub(crate) mod workspace;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use deployr_core::builder::{Artifact, BuildSpec, Builder, Workspace};
use deployr_core::command::{Command, PlannedStep};
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::model::{ProjectId, ProjectSettings, Recipe};
use deployr_core::value::{InvalidValue, RelPath};
use tokio::time::Instant;

pub use limits::BuildLimits;

use super::blocking;
use super::sandbox::{Cell, Confinement, Own, Rules, Sandbox};
use crate::framework::{self, Makes};
use env::Passed;
use process::{Ended, Job};

/// Runs builds as processes of the engine's user, each in a workspace of its own, and
/// keeps them from everything else by the means of the kernel.
///
/// A build sees the system's programs, the tools on the engine's `PATH`, its workspace
/// and its project's cache; it has the project's environment and of the engine's what
/// [`pass_env`](Self::pass_env) names. On a kernel without Landlock it runs all the same, and its log says so:
/// see [`Sandbox`].
///
/// ```
/// use std::time::Duration;
/// use deployr_exec::local::Sandbox;
/// use deployr_exec::local::build::{BuildLimits, LocalBuilder};
///
/// let builder = LocalBuilder::new("/opt/deployr/build")
///     .sandbox(Sandbox::new().private(["/opt/deployr"]))
///     .limits(BuildLimits { output_bytes: 512 << 20, ..BuildLimits::default() })
///     .grace(Duration::from_secs(10));
/// ```
#[derive(Debug, Clone)]
pub struct LocalBuilder {
    root: PathBuf,
    sandbox: Sandbox,
    limits: BuildLimits,
    pass_env: Vec<String>,
    grace: Duration,
    /// The locks of the workspaces in use, by name. The kernel frees them when the engine
    /// dies.
    locks: Arc<Mutex<HashMap<String, workspace::Lock>>>,
}

impl LocalBuilder {
    /// A builder with its workspaces and caches in the folder `root`, which it makes.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            sandbox: Sandbox::new(),
            limits: BuildLimits::default(),
            pass_env: Self::network_variables().map(str::to_owned).collect(),
            grace: Duration::from_secs(5),
            locks: Arc::default(),
        }
    }

    /// What builds may read of this host. The system without [`private`](Sandbox::private)
    /// paths where not called: an engine with its data below a folder of the system's, or
    /// below one of `PATH`, has to name it.
    #[must_use]
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// What one build may use.
    #[must_use]
    pub fn limits(mut self, limits: BuildLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Variables of the engine's environment that builds get too, where they are set;
    /// [`network_variables`](Self::network_variables) unless told otherwise. Builds can
    /// read them, also the password in the address of a proxy. The project's own
    /// variables win over them. Those called `DEPLOYR_…` are never passed on.
    #[must_use]
    pub fn pass_env<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.pass_env = names.into_iter().map(Into::into).collect();
        self
    }

    /// What a build has to know of the network that this host is in, by the names that
    /// the usual tools have for it: proxies (`HTTPS_PROXY`, `NO_PROXY` and the like, in
    /// upper and lower case), certificates (`SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS`, …;
    /// builds may read the files that they name), and mirrors of packages
    /// (`npm_config_registry`, `PIP_INDEX_URL`, `GOPROXY`, …).
    pub fn network_variables() -> impl Iterator<Item = &'static str> {
        env::network_variables().into_iter()
    }

    /// How long a build that shall stop has for it, before it is killed. 5 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Kills the builds and removes the workspaces of engines that are dead, and says
    /// how many workspaces that were. To be called when an engine starts; what is in
    /// use, by this engine or by another one, stays.
    ///
    /// # Errors
    ///
    /// A fault when something could not be removed.
    pub async fn remove_stale(&self) -> StepResult<usize> {
        let root = self.root.clone();
        blocking(move || Ok(workspace::remove_stale(&root)?)).await
    }

    fn locked<T>(&self, with: impl FnOnce(&mut HashMap<String, workspace::Lock>) -> T) -> T {
        with(&mut self.locks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of a workspace of this builder. Nothing else is ever removed or built in.
    pub(crate) fn name_of(&self, workspace: &Workspace) -> Result<String, Fault> {
        let name = workspace.path.file_name().and_then(|name| name.to_str());
        let work =
            fs::canonicalize(self.root.join("work")).unwrap_or_else(|_| self.root.join("work"));
        name.filter(|_| workspace.path.parent() == Some(&work))
            .map(str::to_owned)
            .ok_or_else(|| {
                let shown = workspace.path.display();
                Fault::permanent("using a workspace", shown, "it is not one of this builder")
            })
    }

    /// What the commands of a build have in common.
    fn set_up(&self, spec: &BuildSpec) -> StepResult<Setup> {
        let marker = self.name_of(&spec.workspace)?;
        let workspace = fs::canonicalize(&spec.workspace.path)
            .map_err(|error| Fault::io("entering", spec.workspace.path.display(), error))?;
        let (cache, held) = workspace::cache(&self.root, &spec.project.to_string())?;
        let passed = Passed::from_env(&self.pass_env);
        let sandbox = self.sandbox.clone().and_tools(&passed.files);
        let Cell { path, rules } = sandbox.enter(Own {
            private: vec![self.root.clone()],
            writable: vec![workspace.clone(), cache.clone()],
            ..Own::default()
        })?;
        Ok(Setup {
            env: env::environment(&marker, path, &workspace, &cache, passed, &spec.env),
            marker,
            workspace,
            rules,
            cache: held,
        })
    }

    async fn run_all(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<()> {
        let deadline = Instant::now() + spec.timeout;
        let (builder, of) = (self.clone(), spec.clone());
        let Setup {
            marker,
            workspace,
            env,
            rules,
            cache: _held,
        } = blocking(move || builder.set_up(&of)).await?;
        if let Confinement::None { reason } = self.sandbox.confinement() {
            let say = format!("builds are not confined: {reason}");
            ctx.log.say(say).await;
        }
        for line in &spec.recipe.commands {
            if ctx.cancel.is_cancelled() {
                return Err(StepError::Stopped);
            }
            ctx.log.say(format!("$ {line}")).await;
            let (checkout, root) = (spec.workspace.checkout.clone(), spec.recipe.root.clone());
            let rules = rules.as_ref().map(Rules::try_clone).transpose();
            let job = Job {
                command: Command::shell(line.as_str()),
                // Each time anew: the last command may have put a link in its place.
                dir: blocking(move || app_folder(&checkout, root.as_ref())).await?,
                env: env.clone(),
                limits: self.limits.clone(),
                rules: rules.map_err(|error| Fault::io("confining", "the build", error))?,
                marker: marker.clone(),
            };
            let line = line.as_str();
            match process::run(job, deadline, self.grace, ctx).await? {
                Ended::Exited(status, _) if status.success() => {}
                Ended::Exited(status, tail) => {
                    return Err(verdict::failed(
                        line,
                        status,
                        &tail,
                        &workspace,
                        &self.limits,
                    ));
                }
                Ended::TimedOut => return Err(verdict::timed_out(line, spec.timeout)),
                Ended::Stopped => return Err(StepError::Stopped),
            }
        }
        Ok(())
    }
}

/// What the commands of a build have in common.
struct Setup {
    marker: String,
    workspace: PathBuf,
    env: Vec<(String, String)>,
    rules: Option<Rules>,
    /// Held until they have ended.
    cache: workspace::Lock,
}

#[async_trait]
impl Builder for LocalBuilder {
    fn name(&self) -> &str {
        "local"
    }

    fn check(&self, settings: &ProjectSettings) -> Result<(), InvalidValue> {
        settings
            .framework
            .as_ref()
            .map_or(Ok(()), |name| framework::check(name, Makes::Files))
    }

    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        let place = recipe
            .root
            .as_ref()
            .map(|root| format!(" in {root}"))
            .unwrap_or_default();
        let run = |line: &deployr_core::value::BuildCommand| {
            PlannedStep::run(format!("build{place}"), Command::shell(line.as_str()))
        };
        recipe.commands.iter().map(run).collect()
    }

    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        // A second call for the same attempt must not meet its own lock.
        self.locked(|locks| locks.remove(&workspace::name(ctx)));
        let (root, of) = (self.root.clone(), ctx.clone());
        let (workspace, lock) = blocking(move || Ok(workspace::prepare(&root, &of)?)).await?;
        self.locked(|locks| locks.insert(workspace::name(ctx), lock));
        Ok(workspace)
    }

    async fn detect(
        &self,
        workspace: &Workspace,
        settings: &ProjectSettings,
    ) -> StepResult<Recipe> {
        let (dir, settings) = (workspace.checkout.clone(), settings.clone());
        blocking(move || framework::detect(&dir, &settings, Makes::Files)).await
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        let began = SystemTime::now();
        self.run_all(spec, ctx).await?;

        artifact_of(spec, self.limits.output_bytes, began, ctx).await
    }

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        let (builder, workspace) = (self.clone(), workspace.clone());
        blocking(move || {
            let name = builder.name_of(&workspace)?;
            builder.locked(|locks| locks.remove(&name));
            Ok(workspace::remove(&builder.root, &name)?)
        })
        .await
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        let (root, project) = (self.root.clone(), project.to_string());
        blocking(move || match workspace::remove_cache(&root, &project)? {
            true => Ok(()),
            false => {
                let reason = "a build still uses it";
                Err(Fault::retryable("removing the cache of", project, reason).into())
            }
        })
        .await
    }
}

/// What a build has made since it began, read and checked.
pub(crate) async fn artifact_of(
    spec: &BuildSpec,
    max_bytes: u64,
    began: SystemTime,
    ctx: &StepContext,
) -> StepResult<Artifact> {
    let candidates = framework::output_candidates(&spec.recipe)?;
    let (checkout, recipe) = (spec.workspace.checkout.clone(), spec.recipe.clone());
    let cancel = ctx.cancel.clone();
    let artifact = blocking(move || {
        let folder = app_folder(&checkout, recipe.root.as_ref())?;
        let checkout = fs::canonicalize(&checkout)
            .map_err(|error| Fault::io("reading", checkout.display(), error))?;
        let dir = output::find(&checkout, &folder, &recipe.output, &candidates, began)?;
        output::collect(dir, max_bytes, &cancel)
    });
    artifact.await
}

/// The folder of the app, which is in the checkout whatever links lead there.
pub(crate) fn app_folder(checkout: &Path, root: Option<&RelPath>) -> StepResult<PathBuf> {
    let fault = |error| Fault::io("entering", "the checkout", error);
    let top = fs::canonicalize(checkout).map_err(fault)?;
    let Some(root) = root else { return Ok(top) };
    let invalid = |why| {
        StepError::verdict(
            VerdictCode::ConfigInvalid,
            format!("root is invalid: `{root}` {why}"),
        )
    };
    match fs::canonicalize(root.under(&top)) {
        Ok(folder) if !folder.starts_with(&top) => Err(invalid("leads out of the checkout")),
        Ok(folder) if folder.is_dir() => Ok(folder),
        _ => Err(invalid("is not a folder of the repository")),
    }
}
