//! What every executor must do: the rules of [`executor`](crate::executor), as checks.
//! Asked of files and, where the executor can run them, of processes: those are the
//! test program itself, with a web server for [`site_server!`](crate::site_server) in it.

mod bench;
mod change;
mod deploy;
mod remove;
mod server;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};

use self::bench::Bench;
use super::suite;
use crate::builder::{Artifact, ArtifactContent};
use crate::executor::{Endpoint, Executor};
use crate::model::{HealthCheck, Recipe, Runtime};
use crate::value::{BuildCommand, DrainTime, Framework, HealthInterval, OutputDir};

pub use server::serve_if_asked;

/// How a [`Site`] serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Files, from a folder.
    Files,
    /// A process that listens on `PORT`.
    Process,
}

/// Something to deploy.
#[derive(Debug, Clone)]
pub struct Site {
    /// What is placed.
    pub artifact: Artifact,
    /// How it is run.
    pub recipe: Recipe,
}

impl Site {
    /// Writes an `index.html` with `text` into `folder`, which is made. As a process
    /// it is served by this very program, which has to hold
    /// [`site_server!`](crate::site_server); so it suits targets on this host.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    #[must_use]
    pub fn in_folder(folder: &Path, serves: Serves, text: &str) -> Self {
        std::fs::create_dir_all(folder).expect("a folder for the site");
        std::fs::write(folder.join("index.html"), text).expect("an index.html");
        let runtime = match serves {
            Serves::Files => Runtime::Static { single_page: false },
            Serves::Process => {
                let line = server::command().to_string();
                Runtime::Process {
                    start: BuildCommand::parse(line).expect("a legal command"),
                }
            }
        };
        let content = ArtifactContent::Folder(folder.to_owned());
        let bytes = text.len() as u64;
        let health = HealthCheck {
            interval_ms: HealthInterval::new(50).expect("a legal interval"),
            drain_ms: DrainTime::new(500).expect("a legal time"),
            ..HealthCheck::default()
        };
        Self {
            artifact: Artifact {
                content,
                digest: format!("sha256:{bytes:064x}"),
                bytes,
            },
            recipe: Recipe {
                framework: Framework::parse("static").expect("a legal name"),
                root: None,
                commands: Vec::new(),
                output: OutputDir::parse(".").expect("a legal folder"),
                runtime,
                health,
                shared: Vec::new(),
                writable: Vec::new(),
                on_target: Default::default(),
                images: Default::default(),
            },
        }
    }
}

/// A target to check an executor on. Empty at first; whatever is on it goes when the
/// harness is dropped.
#[async_trait]
pub trait ExecutorHarness: Send + Sync {
    /// A new executor for the target, as after a restart of the engine. The ones
    /// given before may still be in use.
    async fn executor(&self) -> Arc<dyn Executor>;

    /// A site that answers `/` with `text`, and any other path with 404. Mostly
    /// [`Site::in_folder`]; a folder a call.
    async fn site(&self, serves: Serves, text: &str) -> Site;

    /// What the endpoint answers to a `GET /`.
    ///
    /// # Errors
    ///
    /// Why it did not answer.
    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String>;
}

/// How many checks run at a time: a target mostly waits for others.
const AT_ONCE: usize = 4;

/// Runs every check, each on a target of its own that `make` gives, some at the same time.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Arc<dyn ExecutorHarness>> + Send,
{
    let capabilities = make().await.executor().await.capabilities();
    let mut kinds = vec![Serves::Files];
    kinds.extend(capabilities.processes.then_some(Serves::Process));
    let all = || {
        let checks = deploy::checks().iter().chain(change::checks());
        checks.chain(remove::checks())
    };
    let all = kinds
        .iter()
        .flat_map(|serves| all().map(move |check| (*serves, check)));
    let make = &make;
    let outcomes = all.map(async |(serves, (name, check))| {
        let bench = Arc::new(Bench::new(make().await, serves));
        let outcome = suite::outcome(check(Arc::clone(&bench))).await;
        bench.stop_all().await;
        let failed = |reason| format!("{name} ({serves:?}): {reason}");
        outcome.err().map(failed)
    });
    let outcomes = stream::iter(outcomes).buffer_unordered(AT_ONCE);
    let mut failed: Vec<String> = outcomes.filter_map(std::future::ready).collect().await;
    failed.sort();
    suite::tell(&failed);
}
