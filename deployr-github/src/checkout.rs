//! Writes the tree of a commit into a folder: all of it, and nothing else.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use git2::{Blob, Oid, Repository, Tree};

use crate::error::{Trouble, printable, refused};
use crate::links::{Links, stays_inside};
use crate::mirror::Mirror;
use crate::options::GitLimits;

/// How git writes down what an entry is.
const TREE: i32 = 0o040_000;
const LINK: i32 = 0o120_000;
const GITLINK: i32 = 0o160_000;
const KIND: i32 = 0o170_000;

const MAX_PATH: usize = 4000;
const MAX_NAME: usize = 255;

/// To unpack a file takes longer than to write it, so more than one is unpacked at a time.
const MAX_THREADS: usize = 4;
/// For fewer files another thread is not worth it.
const FILES_A_THREAD: usize = 50;
/// Larger files are held in memory one at a time.
const LARGE: u64 = 16 << 20;

/// A submodule that a tree speaks of.
#[derive(Debug, Clone)]
pub(crate) struct Gitlink {
    /// Relative to the top of the checkout.
    pub(crate) path: PathBuf,
    pub(crate) commit: String,
}

/// A file that was admitted and is still to be written.
#[derive(Debug)]
struct Pending {
    path: PathBuf,
    id: Oid,
    size: u64,
    executable: bool,
}

/// A checkout in the making. Symbolic links are written when all else is there, so
/// that no file is ever written through one.
#[derive(Debug)]
pub(crate) struct Export {
    url: String,
    folder: PathBuf,
    limits: GitLimits,
    ctx: StepContext,
    entries: usize,
    bytes: u64,
    links: Links,
}

impl Export {
    pub(crate) fn new(url: &str, folder: &Path, limits: &GitLimits, ctx: &StepContext) -> Self {
        Self {
            url: url.to_owned(),
            folder: folder.to_owned(),
            limits: limits.clone(),
            ctx: ctx.clone(),
            entries: 0,
            bytes: 0,
            links: Links::new(),
        }
    }

    /// Writes `tree` of `repository`, which is that of `mirror`, under `at`, a folder of
    /// the checkout that exists. Gives the submodules, whose folders are left empty.
    pub(crate) fn tree(
        &mut self,
        mirror: &Mirror,
        repository: &Repository,
        tree: &Tree<'_>,
        at: &Path,
    ) -> Result<Vec<Gitlink>, Trouble> {
        let (mut gitlinks, mut files) = (Vec::new(), Vec::new());
        // A list instead of recursion: the depth is chosen by strangers.
        let mut ahead = vec![(at.to_owned(), tree.id())];
        while let Some((parent, id)) = ahead.pop() {
            let tree = repository
                .find_tree(id)
                .map_err(|e| Trouble::git(&self.url, &e))?;
            for entry in &tree {
                let path = self.admit(&parent, entry.name_bytes())?;
                let (id, mode) = (entry.id(), entry.filemode_raw());
                match mode & KIND {
                    TREE => {
                        self.folder(&path)?;
                        ahead.push((path, id));
                    }
                    GITLINK => {
                        self.folder(&path)?;
                        gitlinks.push(Gitlink {
                            path,
                            commit: id.to_string(),
                        });
                    }
                    LINK => {
                        self.measure(repository, id, &path)?;
                        let target = self.blob(repository, id)?.content().to_vec();
                        if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) {
                            return Err(self.refuse(&path, "is a link to no valid path").into());
                        }
                        let target = PathBuf::from(std::ffi::OsStr::from_bytes(&target));
                        if self.links.insert(path.clone(), target).is_some() {
                            return Err(self.refuse(&path, "is there twice").into());
                        }
                    }
                    _ => files.push(Pending {
                        size: self.measure(repository, id, &path)?,
                        executable: mode & 0o100 != 0,
                        path,
                        id,
                    }),
                }
            }
        }
        self.files(mirror, repository, &files)?;
        Ok(gitlinks)
    }

    /// Writes the files, on as many threads as they are worth.
    fn files(
        &self,
        mirror: &Mirror,
        repository: &Repository,
        files: &[Pending],
    ) -> Result<(), Trouble> {
        let (next, large) = (AtomicUsize::new(0), Mutex::new(()));
        let write = |repository: &Repository| -> Result<(), Trouble> {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.go_on()?;
                let _alone = (file.size > LARGE)
                    .then(|| large.lock().unwrap_or_else(PoisonError::into_inner));
                let written = self.file(repository, file);
                if written.is_err() {
                    next.store(files.len(), Ordering::Relaxed);
                }
                written?;
            }
            Ok(())
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = cores.min(MAX_THREADS).min(files.len() / FILES_A_THREAD);
        thread::scope(|scope| {
            // A thread may not use another's repository.
            let others = (1..threads).map(|_| scope.spawn(|| write(&mirror.open()?)));
            let others: Vec<_> = others.collect();
            let mut result = write(repository);
            for other in others {
                let ended = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(ended);
            }
            result
        })
    }

    fn go_on(&self) -> StepResult<()> {
        match self.ctx.cancel.is_cancelled() {
            true => Err(StepError::Stopped),
            false => Ok(()),
        }
    }

    /// Checks all links and writes them.
    pub(crate) fn finish(self) -> StepResult<()> {
        for (path, target) in &self.links {
            if !stays_inside(&self.links, path, target) {
                let to = printable(&target.to_string_lossy());
                return Err(self.refuse(path, format!("is a link that leads out of it, to {to}")));
            }
        }
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, self.folder.join(path))
                .map_err(|e| self.disk(path, e))?;
        }
        Ok(())
    }

    /// The path of an entry, if it may be written.
    fn admit(&mut self, parent: &Path, name: &[u8]) -> StepResult<PathBuf> {
        self.go_on()?;
        let path = parent.join(std::ffi::OsStr::from_bytes(name));
        let plain = !matches!(name, b"" | b"." | b"..")
            && !name.eq_ignore_ascii_case(b".git")
            && !name.iter().any(|byte| matches!(byte, b'/' | 0));
        if !plain {
            return Err(self.refuse(&path, "has a name that no checkout may have"));
        }
        if name.len() > MAX_NAME || path.as_os_str().len() > MAX_PATH {
            return Err(self.refuse(&path, "has a path that is too long"));
        }
        self.entries += 1;
        if self.entries > self.limits.max_files {
            return Err(self.too_large(format_args!("more than {} files", self.limits.max_files)));
        }
        Ok(path)
    }

    fn folder(&self, path: &Path) -> StepResult<()> {
        let full = self.folder.join(path);
        fs::create_dir(&full)
            .and_then(|()| fs::set_permissions(&full, Permissions::from_mode(0o755)))
            .map_err(|error| self.disk(path, error))
    }

    fn file(&self, repository: &Repository, pending: &Pending) -> Result<(), Trouble> {
        let Pending {
            path,
            id,
            executable,
            ..
        } = pending;
        let blob = self.blob(repository, *id)?;
        let mode = if *executable { 0o755 } else { 0o644 };
        let write = || {
            let full = self.folder.join(path);
            let mut file = OpenOptions::new().write(true).create_new(true).open(full)?;
            file.write_all(blob.content())?;
            file.set_permissions(Permissions::from_mode(mode))
        };
        Ok(write().map_err(|error| self.disk(path, error))?)
    }

    /// The size of a file, if it may be written.
    fn measure(&mut self, repository: &Repository, id: Oid, path: &Path) -> Result<u64, Trouble> {
        let git = |error: git2::Error| Trouble::git(&self.url, &error);
        let size = repository
            .odb()
            .and_then(|odb| odb.read_header(id))
            .map_err(git)?
            .0 as u64;
        if size > self.limits.max_file_bytes {
            let shown = printable(&path.to_string_lossy());
            let limit = self.limits.max_file_bytes >> 20;
            return Err(self
                .too_large(format!("{shown} of more than {limit} MiB"))
                .into());
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.max_bytes {
            let limit = self.limits.max_bytes >> 20;
            return Err(self
                .too_large(format!("more than {limit} MiB in all"))
                .into());
        }
        Ok(size)
    }

    fn blob<'r>(&self, repository: &'r Repository, id: Oid) -> Result<Blob<'r>, Trouble> {
        repository
            .find_blob(id)
            .map_err(|error| Trouble::git(&self.url, &error))
    }

    fn refuse(&self, path: &Path, why: impl std::fmt::Display) -> StepError {
        let path = printable(&path.to_string_lossy());
        refused(
            &self.url,
            format_args!("`{path}` {why}; remove it from the repository"),
        )
    }

    fn too_large(&self, what: impl std::fmt::Display) -> StepError {
        let message = format!(
            "the checkout of {} is too large: it has {what}; remove what is not needed, or raise \
             the limit",
            self.url
        );
        StepError::verdict(VerdictCode::TooLarge, message)
    }

    fn disk(&self, path: &Path, error: std::io::Error) -> StepError {
        // The folder was empty: only the tree itself can have named something twice.
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => self.refuse(path, "is there twice"),
            _ => Fault::io("write", printable(&path.to_string_lossy()), error).into(),
        }
    }
}
