//! Builds as confined processes on this host.

mod confine;
mod env;
mod limits;
mod output;
mod process;
mod pump;
mod reap;
mod verdict;
mod workspace;

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
use deployr_core::model::{ProjectSettings, Recipe};
use deployr_core::value::RelPath;
use tokio::time::Instant;

pub use confine::Confinement;
pub use limits::BuildLimits;

use crate::framework;
use confine::Reach;
use process::{Ended, Job};

/// Runs builds as processes of the engine's user, each in a workspace of its own, and
/// keeps them from everything else by the means of the kernel.
///
/// A build sees the system's programs, the tools on the engine's `PATH`, its workspace
/// and its project's cache; it has the project's environment and nothing of the
/// engine's. On a kernel without Landlock it runs all the same, and its log says so:
/// see [`confinement`](Self::confinement).
///
/// ```
/// use std::time::Duration;
/// use deployr_exec::local::build::{BuildLimits, LocalBuilder};
///
/// let builder = LocalBuilder::new("/var/lib/deployr/build")
///     .tool_dirs(["/home/deploy/.rustup", "/home/deploy/.cargo/bin"])
///     .limits(BuildLimits { output_bytes: 512 << 20, ..BuildLimits::default() })
///     .grace(Duration::from_secs(10));
/// println!("{:?}", builder.confinement());
/// ```
#[derive(Debug, Clone)]
pub struct LocalBuilder {
    root: PathBuf,
    tool_dirs: Vec<PathBuf>,
    limits: BuildLimits,
    confine: bool,
    grace: Duration,
    /// Of the workspaces in use, by name; the kernel lets go of them when we die.
    locks: Arc<Mutex<HashMap<String, workspace::Lock>>>,
}

impl LocalBuilder {
    /// A builder with its workspaces and caches in the folder `root`, which it makes.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            tool_dirs: Vec::new(),
            limits: BuildLimits::default(),
            confine: true,
            grace: Duration::from_secs(5),
            locks: Arc::default(),
        }
    }

    /// Folders that builds may read and run programs from, besides those of the system
    /// and of `PATH`: installations in somebody's home, above all.
    #[must_use]
    pub fn tool_dirs<P: Into<PathBuf>>(mut self, dirs: impl IntoIterator<Item = P>) -> Self {
        self.tool_dirs = dirs.into_iter().map(Into::into).collect();
        self
    }

    /// What one build may use.
    #[must_use]
    pub fn limits(mut self, limits: BuildLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether builds are confined, where the kernel can; they are unless told otherwise.
    #[must_use]
    pub fn confine(mut self, confine: bool) -> Self {
        self.confine = confine;
        self
    }

    /// How long a build that shall stop has for it, before it is killed. 5 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What keeps builds away from the rest of this host.
    #[must_use]
    pub fn confinement(&self) -> Confinement {
        if self.confine {
            Confinement::of_kernel()
        } else {
            Confinement::None {
                reason: "the builder was made with `confine(false)`".to_owned(),
            }
        }
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
    fn name_of(&self, workspace: &Workspace) -> Result<String, Fault> {
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

    async fn run_all(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<()> {
        let deadline = Instant::now() + spec.timeout;
        let marker = self.name_of(&spec.workspace)?;
        let workspace = fs::canonicalize(&spec.workspace.path)
            .map_err(|error| Fault::io("entering", spec.workspace.path.display(), error))?;
        let cache = workspace::cache(&self.root, &spec.project.to_string())?;
        let (path, ruleset) = match self.confinement() {
            Confinement::Landlock { .. } => {
                let writable = vec![workspace.clone(), cache.clone()];
                let private = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
                let reach = Reach::new(&self.tool_dirs, writable, &private);
                (reach.search_path(), Some(reach.ruleset()?))
            }
            Confinement::None { reason } => {
                ctx.log
                    .say(format!("builds are not confined: {reason}"))
                    .await;
                (confine::whole_path(), None)
            }
        };
        let env = env::environment(&marker, path, &workspace, &cache, &spec.env);

        for line in &spec.recipe.commands {
            if ctx.cancel.is_cancelled() {
                return Err(StepError::Stopped);
            }
            ctx.log.say(format!("$ {line}")).await;
            let ruleset = ruleset
                .as_ref()
                .map(|ruleset| ruleset.try_clone())
                .transpose();
            let job = Job {
                command: Command::shell(line.as_str()),
                // Each time anew: the last command may have put a link in its place.
                dir: app_folder(&spec.workspace.checkout, spec.recipe.root.as_ref())?,
                env: env.clone(),
                limits: self.limits.clone(),
                ruleset: ruleset.map_err(|error| Fault::io("confining", "the build", error))?,
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

#[async_trait]
impl Builder for LocalBuilder {
    fn name(&self) -> &str {
        "local"
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
        blocking(move || framework::detect(&dir, &settings)).await
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        let began = SystemTime::now();
        self.run_all(spec, ctx).await?;

        let candidates = framework::output_candidates(&spec.recipe)?;
        let max_bytes = self.limits.output_bytes;
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

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        let name = self.name_of(workspace)?;
        self.locked(|locks| locks.remove(&name));
        let root = self.root.clone();
        blocking(move || Ok(workspace::remove(&root, &name)?)).await
    }
}

/// The folder of the app, which is in the checkout whatever links lead there.
fn app_folder(checkout: &Path, root: Option<&RelPath>) -> StepResult<PathBuf> {
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

/// Off the runtime's threads, where files are read or removed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StepResult<T> + Send + 'static,
) -> StepResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Fault::retryable("finishing", "a task", error))?
}
