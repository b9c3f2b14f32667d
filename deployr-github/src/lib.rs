//! Git for the deployr deployment engine: any repository over `https://`, `ssh://`
//! or, where the operator allows it, a folder of this machine.
//!
//! ```no_run
//! use deployr_core::context::StepContext;
//! use deployr_core::error::StepResult;
//! use deployr_core::source::{Source, SourceProvider};
//! use deployr_core::value::{BranchName, GitRef, GitUrl};
//! use deployr_github::GitSource;
//! use std::path::Path;
//!
//! async fn fetch(ctx: &StepContext, folder: &Path) -> StepResult<()> {
//!     let Ok(url) = GitUrl::parse("https://github.com/acme/app.git") else { return Ok(()) };
//!     let Ok(main) = BranchName::parse("main") else { return Ok(()) };
//!     let source = Source { url, credentials: None, submodules: false };
//!
//!     let git = GitSource::new("/var/lib/deployr/mirrors");
//!     let commit = git.resolve(&source, &GitRef::Branch(main), ctx).await?;
//!     git.checkout(&source, &commit.id, folder, ctx).await?;
//!     Ok(())
//! }
//! ```
//!
//! # How it works
//!
//! Each repository has one bare mirror on disk, shared by all of its deployments and
//! locked by `flock`, so that several processes may share the folder. A mirror is
//! brought up to date by an incremental fetch, and made anew where it is broken. A
//! checkout is an export of the commit's tree: no `.git`, no hooks, no filters, no
//! configuration of the machine, no symbolic link that leads out.
//!
//! libgit2 keeps the repositories and speaks git's protocol; the connections are our
//! own, so that addresses are checked, bytes are counted, every read can be
//! cancelled, and credentials stay in a header (or in a key file) and out of libgit2.
//! `git` itself is not needed; `ssh` is, for `ssh://`.

#[cfg(not(unix))]
compile_error!("deployr-github needs Unix: file modes, symbolic links and flock");

mod checkout;
mod error;
mod find;
mod links;
mod look_up;
mod mirror;
mod near;
mod options;
mod parts;
mod source;
mod submodules;
mod transport;

pub use options::GitLimits;
pub use source::GitSource;
pub use transport::Proxies;
