//! Releases as folders and supervised processes on this host (Linux).
//!
//! ```text
//! <root>/<slug>/releases/<number>/   each release, with a marker `.deployr-release`
//! <root>/<slug>/shared/              what all releases share; linked into each
//! <root>/<slug>/current              link to the present release
//! <root>/<slug>/turn                 the latest deployment that has switched
//! <root>/<slug>/run/<number>.json    the process of a running release
//! <root>/<slug>/log/<number>.log     its output
//! <root>/<slug>/tmp/<number>/        its `HOME` and `TMPDIR`
//! ```
//!
//! Processes outlive an engine that dies: the next one finds them by their run files
//! and watches them on. Under systemd that takes `KillMode=process`.

mod command;
mod env;
pub(crate) mod layout;
pub(crate) mod link;
pub(crate) mod migrated;
mod output;
pub(crate) mod place;
mod plan;
mod proc;
mod process;
mod remove;
mod spawn;
mod steps;
mod supervisor;
mod verify;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deployr_core::error::{Fault, StepResult};
use deployr_core::executor::{Endpoint, ReleaseSpec};
use deployr_core::value::Slug;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Sandbox, blocking};
use layout::Layout;
use process::{Launch, Ports};
use spawn::Surroundings;
use supervisor::Run;

pub use supervisor::ProcessState;

/// This host as a target: releases are folders below a root; those with a process
/// are run, watched and restarted. Cheap to clone.
///
/// Processes go on when the last clone is dropped or the engine dies, and are taken
/// over by the next [`start`](deployr_core::executor::Executor::start). To end them, call
/// [`shutdown`](Self::shutdown).
///
/// The process of a release, and its health command, read the system's programs and the
/// release, and write to the project's `shared`, the recipe's `writable` folders and a
/// folder of their own (`HOME` and `TMPDIR`); they see no other file. On a kernel without
/// Landlock they run all the same, and the log of the deployment says so: see [`Sandbox`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use deployr_core::executor::Executor;
/// use deployr_core::value::Slug;
/// use deployr_exec::local::run::LocalExecutor;
///
/// # let sites = tempfile::tempdir().unwrap();
/// let executor = LocalExecutor::new(sites.path());
/// assert!(executor.capabilities().zero_downtime());
/// assert_eq!(executor.current(&Slug::parse("shop").unwrap()).await.unwrap(), None);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct LocalExecutor {
    sandbox: Sandbox,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    ports: Arc<Ports>,
    runs: Mutex<HashMap<(Slug, i64), Arc<Run>>>,
    /// Ends the watching, not the processes, when the last clone is dropped.
    watching: CancellationToken,
    _stop_watching: DropGuard,
}

/// One process that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// The release.
    pub number: i64,
    /// The process; the last one while it is being restarted.
    pub pid: i32,
    /// The port that it was given.
    pub port: u16,
    /// How often it was started again by this engine.
    pub restarts: u32,
    /// How it is.
    pub state: ProcessState,
}

impl LocalExecutor {
    /// An executor with its releases below `root`, which is made when first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let watching = CancellationToken::new();
        let inner = Inner {
            // Links and marks hold paths: a later change of folder must not change them.
            root: std::path::absolute(&root).unwrap_or(root),
            ports: Arc::default(),
            runs: Mutex::default(),
            _stop_watching: watching.clone().drop_guard(),
            watching,
        };
        Self {
            sandbox: Sandbox::new(),
            inner: Arc::new(inner),
        }
    }

    /// What releases may read of this host besides what is theirs; the same as for
    /// [`LocalBuilder`](crate::LocalBuilder), as a rule. Holds for this clone and those made
    /// of it, from the next start of a process on.
    #[must_use]
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// The processes of a project that this engine watches, in the order of their
    /// releases.
    #[must_use]
    pub fn status(&self, slug: &Slug) -> Vec<ProcessStatus> {
        let runs = self
            .inner
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = runs
            .iter()
            .filter(|((project, _), _)| project == slug)
            .map(|((_, number), run)| {
                let report = run.report.borrow();
                ProcessStatus {
                    number: *number,
                    pid: report.run.process.pid,
                    port: report.run.port,
                    restarts: report.restarts,
                    state: report.state,
                }
            })
            .collect();
        all.sort_unstable_by_key(|status| status.number);
        all
    }

    /// Stops all processes below the root, also those that an earlier engine has left:
    /// asks first, kills after `grace`.
    ///
    /// # Errors
    ///
    /// A fault when one could not be stopped; the others are.
    pub async fn shutdown(&self, grace: Duration) -> StepResult<()> {
        let root = self.inner.root.clone();
        let mut stopping = tokio::task::JoinSet::new();
        for (slug, number) in blocking(move || running_below(&root)).await? {
            let executor = self.clone();
            stopping.spawn(async move { executor.stop(&slug, number, grace).await });
        }
        let mut result = Ok(());
        while let Some(stopped) = stopping.join_next().await {
            let stopped = stopped
                .unwrap_or_else(|error| Err(Fault::retryable("stop", "a release", error).into()));
            result = result.and(stopped);
        }
        result
    }

    fn layout(&self, slug: &Slug) -> Layout {
        Layout::new(&self.inner.root, slug)
    }

    fn surroundings(&self, spec: &ReleaseSpec) -> Surroundings {
        Surroundings::new(self.layout(&spec.slug), spec, self.sandbox.clone())
    }

    fn find(&self, slug: &Slug, number: i64) -> Option<Arc<Run>> {
        let runs = self
            .inner
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        runs.get(&(slug.clone(), number)).cloned()
    }

    fn take(&self, slug: &Slug, number: i64) -> Option<Arc<Run>> {
        let mut runs = self
            .inner
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        runs.remove(&(slug.clone(), number))
    }

    async fn start_process(&self, spec: &ReleaseSpec, launch: Launch) -> StepResult<Endpoint> {
        if let Some(run) = self.find(&spec.slug, spec.number) {
            let report = run.report.borrow().clone();
            if report.state != ProcessState::Ended {
                return Ok(Endpoint::Http {
                    address: report.run.address(),
                });
            }
            self.take(&spec.slug, spec.number);
            run.release().await;
            self.inner.ports.give_back(report.run.port);
        }
        let (starting, ports) = (launch.clone(), Arc::clone(&self.inner.ports));
        let (up, serves) = blocking(move || {
            let serves = link::current(starting.layout())? == Some(starting.number());
            Ok((starting.start(&ports)?, serves))
        })
        .await?;
        let address = up.run.address();
        let run = Run::watch(launch, up, serves, &self.inner.watching);
        let mut runs = self
            .inner
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        runs.insert((spec.slug.clone(), spec.number), run);
        Ok(Endpoint::Http { address })
    }
}

/// All releases that have a run file.
fn running_below(root: &std::path::Path) -> StepResult<Vec<(Slug, i64)>> {
    let mut found = Vec::new();
    for slug in names(root).filter_map(|name| Slug::parse(name).ok()) {
        let numbers = running_of(&Layout::new(root, &slug));
        found.extend(numbers.into_iter().map(|number| (slug.clone(), number)));
    }
    Ok(found)
}

/// The releases of a project that have a run file.
fn running_of(layout: &Layout) -> Vec<i64> {
    let runs = names(&layout.run_folder());
    let numbers = runs.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
    numbers.collect()
}

fn names(folder: &std::path::Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}
