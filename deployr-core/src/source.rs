//! Where commits come from.

use std::path::Path;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::context::StepContext;
use crate::error::StepResult;
use crate::value::{BranchName, CommitId, GitRef, GitUrl};

/// A repository and what it takes to read it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is. Never carries credentials.
    pub url: GitUrl,
    /// How to authenticate, if at all.
    pub credentials: Option<Credentials>,
    /// Fetch submodules too.
    pub submodules: bool,
}

/// What a repository's server wants to see. Cannot be printed.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Sent as HTTP basic authentication, to the repository's own host only.
    Password {
        /// The user; `x-access-token` for GitHub's tokens.
        user: String,
        /// The password or token.
        password: SecretString,
    },
    /// An SSH private key in OpenSSH's text form.
    SshKey {
        /// The key.
        key: SecretString,
    },
}

/// Gives the credentials for a repository when they are needed, and not before: a
/// token may live for an hour, and a deployment may wait for longer.
#[async_trait]
pub trait CredentialProvider: Send + Sync {
    /// What to present to `url`; none where it is public.
    ///
    /// # Errors
    ///
    /// A fault when they could not be had.
    async fn credentials(&self, url: &GitUrl) -> StepResult<Option<Credentials>>;
}

/// A commit, as the source provider found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its full hash.
    pub id: CommitId,
    /// The first line of its message, cut to 200 characters; empty where the
    /// provider does not know it before the checkout.
    pub summary: String,
}

/// Finds a commit and puts its files into a folder.
///
/// # Order of calls
///
/// 1. [`resolve`](Self::resolve) once at the start of each attempt.
/// 2. [`checkout`](Self::checkout) of that commit into an empty folder.
///
/// [`look_up`](Self::look_up) comes before there is a project, and may never come;
/// [`forget`](Self::forget) when it goes.
///
/// All of them may run at the same time for any number of deployments, of the same
/// repository too; an implementation that shares a mirror locks it itself.
///
/// # A second call
///
/// All of them may be called again after any failure. `checkout` is given a new empty
/// folder each time, and refuses any other.
///
/// ```
/// use std::path::Path;
///
/// use async_trait::async_trait;
/// use deployr_core::context::StepContext;
/// use deployr_core::error::{Fault, StepResult};
/// use deployr_core::source::{Commit, Source, SourceProvider};
/// use deployr_core::value::{CommitId, GitRef, GitUrl};
///
/// /// One page, whatever is asked for.
/// struct OnePage(Commit);
///
/// #[async_trait]
/// impl SourceProvider for OnePage {
///     fn name(&self) -> &str { "one-page" }
///
///     async fn resolve(&self, _: &Source, _: &GitRef, _: &StepContext) -> StepResult<Commit> {
///         Ok(self.0.clone())
///     }
///
///     async fn checkout(
///         &self,
///         _: &Source,
///         _: &CommitId,
///         folder: &Path,
///         _: &StepContext,
///     ) -> StepResult<Commit> {
///         let page = folder.join("index.html");
///         std::fs::write(&page, "hello")
///             .map_err(|error| Fault::io("writing", page.display(), error))?;
///         Ok(self.0.clone())
///     }
///
///     async fn forget(&self, _: &GitUrl) -> StepResult<()> {
///         Ok(()) // it keeps nothing
///     }
/// }
/// ```
#[async_trait]
pub trait SourceProvider: Send + Sync {
    /// A short name for logs: `git`.
    fn name(&self) -> &str;

    /// Whether the repository is there and has the branch or tag; where none is named,
    /// its default branch. Reads as little as it can and keeps nothing: a commit may be
    /// given back unseen.
    ///
    /// This default asks [`resolve`](Self::resolve), and takes `main` for the default branch.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve); `ref_not_found` also where there is no default branch.
    async fn look_up(
        &self,
        source: &Source,
        wanted: Option<&GitRef>,
        ctx: &StepContext,
    ) -> StepResult<GitRef> {
        let wanted = match wanted {
            Some(wanted) => wanted.clone(),
            None => GitRef::Branch(BranchName::main()),
        };
        self.resolve(source, &wanted, ctx).await?;
        Ok(wanted)
    }

    /// The commit that `reference` points at now.
    ///
    /// # Errors
    ///
    /// Verdict `ref_not_found`, `repository_refused`; a fault when the server could
    /// not be reached; `Stopped`.
    async fn resolve(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit>;

    /// Writes the files of `commit` into `folder`, which exists and is empty. The
    /// result has no `.git`, nothing outside of `folder`, and is the same for the
    /// same commit each time.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve), and verdict `too_large`; a fault, not retryable
    /// and without a change to it, when the folder is not empty.
    async fn checkout(
        &self,
        source: &Source,
        commit: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit>;

    /// Drops what is kept of a repository only to be fast: no project follows it any more,
    /// or one does that may wait for a fetch of all of it. Nothing there is no error.
    ///
    /// # Errors
    ///
    /// A fault when it could not be removed.
    async fn forget(&self, url: &GitUrl) -> StepResult<()>;
}
