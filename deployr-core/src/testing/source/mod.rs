//! What every source provider must do: the rules of [`source`](crate::source), as
//! checks. Its harness brings a repository that can be pushed to.
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use deployr_core::source::SourceProvider;
//! use deployr_core::testing::ScriptedSource;
//! use deployr_core::testing::source::{SourceHarness, Tree, conformance};
//! use deployr_core::value::{BranchName, CommitId, GitUrl, TagName};
//!
//! struct Harness {
//!     source: ScriptedSource,
//!     folders: tempfile::TempDir,
//! }
//!
//! #[async_trait]
//! impl SourceHarness for Harness {
//!     async fn provider(&self) -> Arc<dyn SourceProvider> {
//!         Arc::new(self.source.clone())
//!     }
//!     fn url(&self) -> GitUrl {
//!         GitUrl::parse("https://git.example.com/acme/app.git").unwrap()
//!     }
//!     fn nowhere(&self) -> GitUrl {
//!         GitUrl::parse("https://git.example.com/acme/gone.git").unwrap()
//!     }
//!     async fn push(&self, branch: &BranchName, tree: &Tree) -> CommitId {
//!         self.source.push(branch.as_str(), tree)
//!     }
//!     async fn tag(&self, name: &TagName, commit: &CommitId, _annotated: bool) {
//!         self.source.tag(name.as_str(), commit.clone());
//!     }
//!     async fn point(&self, branch: &BranchName, commit: Option<&CommitId>) {
//!         self.source.point(branch.as_str(), commit.cloned());
//!     }
//!     async fn folder(&self) -> PathBuf {
//!         tempfile::tempdir_in(&self.folders).unwrap().keep()
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! conformance(async || {
//!     let source = ScriptedSource::default();
//!     Arc::new(Harness {
//!         source: source.only_at(GitUrl::parse("https://git.example.com/acme/app.git").unwrap()),
//!         folders: tempfile::tempdir().unwrap(),
//!     }) as Arc<dyn SourceHarness>
//! })
//! .await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

mod bench;
mod checkout;
mod resolve;
mod stop;
mod tree;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use self::bench::Bench;
use super::suite;
use crate::source::SourceProvider;
use crate::value::{BranchName, CommitId, GitUrl, TagName};

pub use tree::{Entry, Tree, write_tree};
pub(in crate::testing) use tree::{digest, leads_out, read_tree};

/// A repository to check a source provider on, empty at first and readable without
/// credentials; whatever it takes goes when the harness is dropped.
#[async_trait]
pub trait SourceHarness: Send + Sync {
    /// A new provider, as after a restart of the engine: it finds what the ones before
    /// it have kept. Those may still be in use.
    async fn provider(&self) -> Arc<dyn SourceProvider>;

    /// Where the repository is.
    fn url(&self) -> GitUrl;

    /// An address of the same kind, with no repository.
    fn nowhere(&self) -> GitUrl;

    /// Commits exactly `tree` to a branch, on top of what it points at, and gives the
    /// commit. A branch that is not there begins with it.
    async fn push(&self, branch: &BranchName, tree: &Tree) -> CommitId;

    /// Tags a commit: by a tag object where `annotated`, else by the name alone.
    async fn tag(&self, name: &TagName, commit: &CommitId, annotated: bool);

    /// Has a branch point at a commit that was pushed, whatever it pointed at before;
    /// removes it where there is none.
    async fn point(&self, branch: &BranchName, commit: Option<&CommitId>);

    /// An empty folder to check out into; another one at each call.
    async fn folder(&self) -> PathBuf;

    /// The address of a repository on an HTTP server of the suite's, which never
    /// answers. None, as here, for a provider that asks no server: then it is not
    /// checked that it leaves a silent one.
    fn on_server(&self, address: SocketAddr) -> Option<GitUrl> {
        let _ = address;
        None
    }
}

/// Runs every check, each on a repository of its own that `make` gives. Wants a
/// runtime of several threads, since some checks do several things at the same time.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn SourceHarness>>,
{
    let checks = [resolve::checks(), checkout::checks(), stop::checks()];
    let mut failed = Vec::new();
    for (name, check) in checks.into_iter().flatten() {
        let bench = Arc::new(Bench::new(make().await).await);
        if let Err(reason) = suite::outcome(check(bench)).await {
            failed.push(format!("{name}: {reason}"));
        }
    }
    suite::tell(&failed);
}
