//! One bare repository on disk per repository out there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::value::GitUrl;
use git2::{AutotagOption, FetchOptions, FetchPrune, RemoteCallbacks, Repository};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::Trouble;
use crate::near;
use crate::transport::{Session, enter};

/// libgit2 adds a pack with each fetch and never joins them: with so many, a clean
/// copy is the better one. It also drops what no branch holds any more.
const MAX_PACKS: usize = 100;
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// What holds a mirror still. Freed when dropped.
pub(crate) type Lock = Flock<File>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Together with other readers.
    Read,
    /// Alone.
    Write,
}

/// What a fetch brought.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Fetched {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    /// How many bytes of objects were copied before, from a folder of this machine.
    pub(crate) copied: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    url: String,
    root: PathBuf,
    name: String,
}

impl Mirror {
    /// The mirror of `url`, which need not exist yet.
    pub(crate) fn new(root: &Path, url: &GitUrl) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
        let readable: String = url.repo_name().chars().filter(plain).take(40).collect();
        let hash = Sha256::digest(url.as_str());
        let short: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // The hash comes first: a name made by strangers shall not start with a dot.
        let name = format!("{short}-{readable}");
        Self {
            url: url.as_str().to_owned(),
            root: root.to_owned(),
            name,
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(format!("{}.git", self.name))
    }

    /// Waits for its turn, in this process and among others.
    ///
    /// Everybody comes in through a gate, and whoever writes holds it while waiting:
    /// without that, readers who overlap could keep it out for ever.
    pub(crate) async fn lock(
        &self,
        access: Access,
        cancel: &CancellationToken,
    ) -> StepResult<Lock> {
        // They hold private sources, whoever else may read the folder that they lie in.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|e| Fault::io("create", "the mirrors' folder", e))?;
        let gate = self
            .flock("gate", FlockArg::LockExclusiveNonblock, cancel)
            .await?;
        let arg = match access {
            Access::Read => FlockArg::LockSharedNonblock,
            Access::Write => FlockArg::LockExclusiveNonblock,
        };
        let lock = self.flock("lock", arg, cancel).await?;
        drop(gate);
        Ok(lock)
    }

    async fn flock(
        &self,
        kind: &str,
        arg: FlockArg,
        cancel: &CancellationToken,
    ) -> StepResult<Lock> {
        let path = self.root.join(format!("{}.{kind}", self.name));
        let failed = |error| Fault::io("lock", format_args!("the mirror of {}", self.url), error);
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let mut file = open.map_err(failed)?;
        loop {
            match Flock::lock(file, arg) {
                Ok(lock) => return Ok(lock),
                Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
                Err((_, error)) => return Err(failed(io::Error::from(error)).into()),
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(StepError::Stopped),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    /// The mirror as it is, without any configuration: neither the machine's, nor the
    /// one that lies in the folder.
    pub(crate) fn open(&self) -> Result<Repository, Trouble> {
        self.open_at(&self.folder())
    }

    fn open_at(&self, folder: &Path) -> Result<Repository, Trouble> {
        let open = || {
            let repository = Repository::open_bare(folder)?;
            repository.set_config(&git2::Config::new()?)?;
            Ok(repository)
        };
        open().map_err(|error| Trouble::git(&self.url, &error))
    }

    /// Brings the mirror up to date and reads from it. Where it turns out to be
    /// broken, or `anew` says so, it is made from nothing. Blocks; the caller holds
    /// the lock for writing.
    pub(crate) fn update<T>(
        &self,
        session: &Arc<Session>,
        anew: bool,
        read: impl Fn(&Repository) -> Result<T, Trouble>,
    ) -> StepResult<(T, Fetched)> {
        self.sweep();
        if !anew && self.folder().exists() && self.packs() < MAX_PACKS {
            let updated = self.open().and_then(|repository| {
                let fetched = self.fetch(&repository, session)?;
                Ok((read(&repository)?, fetched))
            });
            match updated {
                Err(Trouble::Broken(reason)) => {
                    tracing::warn!(
                        url = self.url,
                        reason,
                        "a mirror is broken and is made anew"
                    );
                }
                other => return other.map_err(|trouble| trouble.give_up(&self.url)),
            }
        }
        self.make(session)
            .and_then(|fetched| Ok((read(&self.open()?)?, fetched)))
            .map_err(|trouble| trouble.give_up(&self.url))
    }

    /// Clones beside the old mirror and puts it into its place once it is whole: a
    /// mirror that is there was received in full.
    fn make(&self, session: &Arc<Session>) -> Result<Fetched, Trouble> {
        let failed = |e| Fault::io("write", format_args!("the mirror of {}", self.url), e);
        let new = tempfile::Builder::new()
            .prefix(&self.temporary())
            .tempdir_in(&self.root)
            .map_err(failed)?;
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).external_template(false).no_reinit(true);
        Repository::init_opts(new.path(), &options).map_err(|e| Trouble::git(&self.url, &e))?;
        let mut copied = None;
        if let Some(folder) = session.folder() {
            let watch = &session.watch;
            let copy = near::copy_objects(folder, new.path(), watch);
            copied = copy.map_err(|e| match watch.failure() {
                Some(failure) => failure,
                None => failed(e).into(),
            })?;
        }
        let fetched = self.fetch(&self.open_at(new.path())?, session)?;
        let folder = self.folder();
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::rename(new.keep(), folder).map_err(failed)?;
        Ok(Fetched { copied, ..fetched })
    }

    fn fetch(&self, repository: &Repository, session: &Arc<Session>) -> Result<Fetched, Trouble> {
        let watch = &session.watch;
        let mut callbacks = RemoteCallbacks::new();
        callbacks.transfer_progress(|progress| {
            let received = watch.received().max(progress.received_bytes() as u64);
            watch.check(received).is_ok()
        });
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .prune(FetchPrune::On)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false);
        let run = || {
            let mut remote = repository.remote_anonymous(&session.libgit2_url())?;
            remote.fetch(&REFSPECS, Some(&mut options), None)?;
            let stats = remote.stats();
            let bytes = watch.received().max(stats.received_bytes() as u64);
            Ok(Fetched {
                objects: stats.total_objects(),
                bytes,
                copied: None,
            })
        };
        enter(session, run).map_err(|error: git2::Error| match watch.failure() {
            Some(failure) => failure.into(),
            None => Trouble::git(&self.url, &error),
        })
    }

    /// Removes it. Blocks; the caller holds the lock for writing. Its locks stay: somebody
    /// may wait for them.
    pub(crate) fn remove(&self) -> StepResult<()> {
        self.sweep();
        match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format_args!("the mirror of {}", self.url);
                Err(Fault::io("remove", what, error).into())
            }
            _ => Ok(()),
        }
    }

    fn temporary(&self) -> String {
        format!("{}.new-", self.name)
    }

    /// Removes what a killed process left behind. Best effort: it costs only space.
    fn sweep(&self) {
        let leftovers = |folder: &Path, prefix: &str| {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    let _ =
                        fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
                }
            }
        };
        leftovers(&self.root, &self.temporary());
        leftovers(&self.folder().join("objects/pack"), "pack_git2_");
    }

    fn packs(&self) -> usize {
        let entries = fs::read_dir(self.folder().join("objects/pack"))
            .into_iter()
            .flatten();
        entries
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "pack"))
            .count()
    }
}
