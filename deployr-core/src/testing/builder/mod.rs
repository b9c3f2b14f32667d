//! What every builder must do: the rules of [`builder`](crate::builder), as checks.
//! Builds are lines for a POSIX shell, with `mkfifo` and `env` beside it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use deployr_core::builder::Builder;
//! use deployr_core::testing::ScriptedBuilder;
//! use deployr_core::testing::builder::{BuilderHarness, conformance};
//!
//! struct Harness(tempfile::TempDir);
//!
//! #[async_trait]
//! impl BuilderHarness for Harness {
//!     async fn builder(&self) -> Arc<dyn Builder> {
//!         Arc::new(ScriptedBuilder::new(self.0.path()))
//!     }
//!     fn runs_commands(&self) -> bool {
//!         false // a mock
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! conformance(async || {
//!     Arc::new(Harness(tempfile::tempdir().unwrap())) as Arc<dyn BuilderHarness>
//! })
//! .await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

mod artifact;
mod bench;
mod command;
mod stop;
mod workspace;

use std::sync::Arc;

use async_trait::async_trait;

use self::bench::Bench;
use super::suite;
use crate::builder::{Artifact, ArtifactContent, Builder};

/// A host to check a builder on; whatever the builder has made there goes when the
/// harness is dropped.
#[async_trait]
pub trait BuilderHarness: Send + Sync {
    /// A new builder on the same host, as after a restart of the engine. The ones given
    /// before may still be in use.
    async fn builder(&self) -> Arc<dyn Builder>;

    /// Whether it reads the checkout and runs commands. A mock may not, and is then
    /// asked for its workspaces and artifacts alone.
    fn runs_commands(&self) -> bool {
        true
    }

    /// The variables of this process that builds get by intention.
    fn passed_variables(&self) -> Vec<String> {
        vec!["PATH".to_owned()]
    }

    /// The content of a file of an artifact. As it is, for those that are folders.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    async fn read(&self, artifact: &Artifact, path: &str) -> Result<Vec<u8>, String> {
        match &artifact.content {
            ArtifactContent::Folder(folder) => {
                std::fs::read(folder.join(path)).map_err(|error| format!("{path}: {error}"))
            }
            other => Err(format!("the harness cannot read {other:?}")),
        }
    }
}

/// Runs every check, each on a host of its own that `make` gives. Wants a runtime of
/// several threads, since some checks do several things at the same time.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn BuilderHarness>>,
{
    let mut checks = [workspace::checks(), artifact::checks()].concat();
    if make().await.runs_commands() {
        checks.extend(command::checks().iter().chain(stop::checks()));
    }
    let mut failed = Vec::new();
    for (name, check) in checks {
        let bench = Arc::new(Bench::new(make().await).await);
        if let Err(reason) = suite::outcome(check(bench)).await {
            failed.push(format!("{name}: {reason}"));
        }
    }
    suite::tell(&failed);
}
