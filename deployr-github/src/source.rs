use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::source::{Commit, Source, SourceProvider};
use deployr_core::value::{CommitId, GitRef, GitUrl};
use git2::Repository;

use crate::error::{Trouble, blocking, printable};
use crate::find;
use crate::look_up;
use crate::mirror::{Access, Fetched, Mirror};
use crate::options::{GitLimits, Options};
use crate::parts::Part;
use crate::transport::{Proxies, Session};

/// Any git repository, by way of a mirror on disk.
///
/// By default only servers on the public internet are reached; an operator switches
/// on what is needed beyond that. Cheap to clone.
///
/// ```
/// use deployr_github::{GitLimits, GitSource};
/// use std::time::Duration;
///
/// let mirrors = std::env::temp_dir().join("mirrors");
/// let git = GitSource::new(mirrors)
///     .limits(GitLimits { timeout: Duration::from_secs(120), ..GitLimits::default() })
///     .allow_private_hosts(true);
/// # let _ = git;
/// ```
///
/// # Who may read what
///
/// A mirror is shared by all who deploy the repository, with whatever credentials.
/// [`resolve`](SourceProvider::resolve) therefore asks the server each time, even for
/// a commit that is in the mirror; [`checkout`](SourceProvider::checkout), which comes
/// after it, does not ask again. Submodules are asked for each time.
#[derive(Debug, Clone)]
pub struct GitSource {
    pub(crate) options: Arc<Options>,
}

impl GitSource {
    /// Keeps its mirrors in the folder `mirrors`, which is made when needed, and may
    /// be shared with other processes.
    #[must_use]
    pub fn new(mirrors: impl Into<PathBuf>) -> Self {
        let options = Options {
            mirrors: mirrors.into(),
            limits: GitLimits::default(),
            allow_local: false,
            allow_private_hosts: false,
            known_hosts: None,
            proxies: None,
        };
        Self {
            options: Arc::new(options),
        }
    }

    /// What a repository may cost.
    #[must_use]
    pub fn limits(self, limits: GitLimits) -> Self {
        self.with(|options| options.limits = limits)
    }

    /// Allows folders of this machine as repositories. Whoever may create a project
    /// can then read every repository that this process can.
    #[must_use]
    pub fn allow_local(self, allow: bool) -> Self {
        self.with(|options| options.allow_local = allow)
    }

    /// Allows servers in private networks and on this machine.
    #[must_use]
    pub fn allow_private_hosts(self, allow: bool) -> Self {
        self.with(|options| options.allow_private_hosts = allow)
    }

    /// Believes SSH servers only with a host key out of this file. Without it, the key
    /// that a server shows first is kept beside the mirrors, and asked for thereafter.
    #[must_use]
    pub fn known_hosts(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.known_hosts = Some(path.into()))
    }

    /// Fetches through proxies, where they are meant for a server. Without this call
    /// through none, whatever the environment says. A proxy looks names up by itself:
    /// what [`allow_private_hosts`](Self::allow_private_hosts) keeps out by name is then
    /// for the proxy to refuse.
    #[must_use]
    pub fn proxies(self, proxies: Proxies) -> Self {
        self.with(|options| options.proxies = Some(proxies))
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }

    pub(crate) fn mirror(&self, source: &Source) -> Mirror {
        Mirror::new(&self.options.mirrors, &source.url)
    }

    /// Fetches and reads from the mirror. Nothing of it goes on once this future is
    /// dropped, except for the few moments until the next read from the server.
    async fn fetch<T: Send + 'static>(
        &self,
        source: &Source,
        ctx: &StepContext,
        anew: bool,
        read: impl Fn(&Repository) -> Result<T, Trouble> + Send + 'static,
    ) -> StepResult<T> {
        go_on(ctx)?;
        ctx.log.say(format!("fetching {}", source.url)).await;
        let cancel = ctx.cancel.child_token();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let mirror = self.mirror(source);
        let lock = mirror.lock(Access::Write, &ctx.cancel).await?;
        let session = Session::open(&self.options, source, cancel).await?;
        let (value, fetched) = blocking(move || {
            let result = mirror.update(&session, anew, read);
            drop(lock);
            result
        })
        .await?;
        ctx.log.say(summary(fetched)).await;
        Ok(value)
    }

    /// Fetches, and finds what `reference` points at.
    pub(crate) async fn find(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        let (url, wanted) = (source.url.as_str().to_owned(), reference.clone());
        let found = self
            .fetch(source, ctx, false, move |repository| {
                find::reference(&url, repository, &wanted)
            })
            .await?;
        found.map_err(|message| StepError::verdict(VerdictCode::RefNotFound, message))
    }
}

#[async_trait]
impl SourceProvider for GitSource {
    fn name(&self) -> &str {
        "git"
    }

    async fn look_up(
        &self,
        source: &Source,
        wanted: Option<&GitRef>,
        ctx: &StepContext,
    ) -> StepResult<GitRef> {
        look_up::look_up(&self.options, source, wanted, ctx).await
    }

    async fn resolve(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.find(source, reference, ctx).await
    }

    async fn checkout(
        &self,
        source: &Source,
        commit: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        go_on(ctx)?;
        check_empty(folder)?;
        let top = Part::top(source, commit);
        let failed = match self.attempt(&top, folder, ctx).await {
            Ok(commit) => return Ok(commit),
            Err(failed) => failed,
        };
        let Trouble::Broken(reason) = failed.trouble else {
            return Err(failed.trouble.give_up(failed.source.url.as_str()));
        };
        tracing::info!(url = %failed.source.url, reason, "a mirror is made anew for a checkout");
        self.fetch(&failed.source, ctx, true, |_| Ok(())).await?;
        empty(folder)?;
        self.attempt(&top, folder, ctx)
            .await
            .map_err(|failed| failed.trouble.give_up(failed.source.url.as_str()))
    }

    async fn forget(&self, url: &GitUrl) -> StepResult<()> {
        let mirror = Mirror::new(&self.options.mirrors, url);
        let lock = mirror.lock(Access::Write, &Default::default()).await?;
        blocking(move || {
            let removed = mirror.remove();
            drop(lock);
            removed
        })
        .await
    }
}

fn summary(fetched: Fetched) -> String {
    match (fetched.copied, fetched.objects) {
        // What was made meanwhile, and so fetched as well, is next to nothing.
        (Some(bytes), _) => format!("copied its objects, {} KiB", bytes.div_ceil(1024)),
        (None, 0) => "fetched: nothing new".to_owned(),
        (None, objects) => format!(
            "fetched {objects} objects, {} KiB",
            fetched.bytes.div_ceil(1024)
        ),
    }
}

/// Stops before anything has begun: libgit2 asks only on the way.
pub(crate) fn go_on(ctx: &StepContext) -> StepResult<()> {
    match ctx.cancel.is_cancelled() {
        true => Err(StepError::Stopped),
        false => Ok(()),
    }
}

/// What lies there already would become a part of the checkout.
fn check_empty(folder: &Path) -> StepResult<()> {
    let operation = "check out into";
    let entry = fs::read_dir(folder).and_then(|mut entries| entries.next().transpose());
    match entry.map_err(|error| Fault::io(operation, folder.display(), error))? {
        None => Ok(()),
        Some(entry) => {
            let name = entry.file_name();
            let reason = format!(
                "it is not empty ({} is in it); give each checkout a new folder",
                printable(&name.to_string_lossy())
            );
            Err(Fault::permanent(operation, folder.display(), reason).into())
        }
    }
}

fn empty(folder: &Path) -> StepResult<()> {
    let clear = || {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    };
    clear().map_err(|error| Fault::io("empty", folder.display(), error).into())
}
