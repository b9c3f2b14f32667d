//! The folders of the builder: `work/<deployment>-<attempt>`, `lock/…` of the same
//! name (a file that says since when), `cache/<project>`, `cache-lock/…` of the same name, and
//! `trash` for workspaces that are being removed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use deployr_core::builder::Workspace;
use deployr_core::context::StepContext;
use deployr_core::error::Fault;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::reap::kill_marked;
use crate::local::files::{empty_trash, throw_away};
use crate::local::proc;

/// Held by the engine for as long as it uses a workspace, or a cache.
pub(crate) type Lock = Flock<File>;

/// The name of a workspace, and the marker of its processes.
pub(crate) fn name(ctx: &StepContext) -> String {
    format!("{}-{}", ctx.deployment, ctx.attempt)
}

/// Makes an empty workspace, after what earlier attempts have left is gone.
pub(super) fn prepare(root: &Path, ctx: &StepContext) -> Result<(Workspace, Lock), Fault> {
    let fault = |error| Fault::io("preparing a workspace", root.display(), error);
    let work = root.join("work");
    make_dir(&work).map_err(fault)?;
    remove_earlier(root, ctx)?;

    let name = name(ctx);
    let lock = lock(root, &name).map_err(fault)?.ok_or_else(|| {
        Fault::retryable("preparing a workspace", &name, "another engine is using it")
    })?;
    // Where it is cut off, or not written at all, it says an earlier time.
    let _ = lock
        .set_len(0)
        .and_then(|()| (&*lock).write_all(proc::now().to_string().as_bytes()));
    let path = fs::canonicalize(&work).map_err(fault)?.join(&name);
    let checkout = path.join("checkout");
    let dirs = [&path, &checkout, &path.join("tmp"), &path.join("home")];
    if let Err(error) = dirs.into_iter().try_for_each(|dir| make_dir(dir)) {
        // Nobody looks for the lock of a workspace that is not there.
        let _ = remove(root, &name);
        return Err(fault(error));
    }
    Ok((Workspace { path, checkout }, lock))
}

/// The project's cache, made where it is missing; nobody removes it while the lock is held.
pub(crate) fn cache(root: &Path, project: &str) -> Result<(PathBuf, Lock), Fault> {
    let dir = root.join("cache").join(project);
    let fault = |error| Fault::io("making the cache", dir.display(), error);
    let locks = root.join("cache-lock");
    let lock = lock_in(&locks, project, FlockArg::LockSharedNonblock).map_err(fault)?;
    let lock = lock.ok_or_else(|| {
        Fault::retryable("using the cache", dir.display(), "it is just being removed")
    })?;
    let made = make_dir(&dir).and_then(|()| fs::canonicalize(&dir));
    Ok((made.map_err(fault)?, lock))
}

/// Removes a project's cache. One that is gone is fine; false where a build uses it.
pub(crate) fn remove_cache(root: &Path, project: &str) -> Result<bool, Fault> {
    let dir = root.join("cache").join(project);
    let fault = |error| Fault::io("removing", dir.display(), error);
    let locks = root.join("cache-lock");
    let lock = lock_in(&locks, project, FlockArg::LockExclusiveNonblock).map_err(fault)?;
    let Some(_lock) = lock else { return Ok(false) };
    throw_away(&dir, &root.join("trash")).map_err(fault)?;
    // Whoever waits for it makes another.
    let _ = fs::remove_file(locks.join(project));
    Ok(true)
}

/// Removes a workspace with all of its processes. One that is gone is fine.
///
/// # Errors
///
/// A fault where a process does not die, which would go on writing, or a file stays.
pub(super) fn remove(root: &Path, name: &str) -> Result<(), Fault> {
    let lock = root.join("lock").join(name);
    let since = fs::read_to_string(&lock)
        .ok()
        .and_then(|text| text.parse().ok());
    kill_marked(name, since.unwrap_or(0))?;
    let path = root.join("work").join(name);
    throw_away(&path, &root.join("trash"))
        .map_err(|error| Fault::io("removing", path.display(), error))?;
    // Nobody makes a workspace of that name again.
    let _ = fs::remove_file(lock);
    Ok(())
}

/// An attempt with an earlier fence has lost its claim, so nobody needs what it has
/// here, even where it has not noticed yet.
fn remove_earlier(root: &Path, ctx: &StepContext) -> Result<(), Fault> {
    let prefix = format!("{}-", ctx.deployment);
    let is_earlier = |name: &str| {
        let attempt = name
            .strip_prefix(&prefix)
            .and_then(|attempt| attempt.parse::<i64>().ok());
        attempt.is_some_and(|attempt| attempt <= ctx.attempt)
    };
    for name in names(&root.join("work"))?
        .iter()
        .filter(|name| is_earlier(name))
    {
        remove(root, name)?;
    }
    Ok(())
}

/// Removes the workspaces that no engine is using, and says how many.
pub(super) fn remove_stale(root: &Path) -> Result<usize, Fault> {
    let work = names(&root.join("work"))?;
    // Who died on the way into a workspace, or out of it, has left its lock alone.
    let locks = names(&root.join("lock"))?;
    let all: BTreeSet<&String> = work.iter().chain(&locks).collect();
    let mut removed = 0;
    for name in all {
        let fault = |error| Fault::io("locking", name, error);
        if let Some(_lock) = lock(root, name).map_err(fault)? {
            remove(root, name)?;
            removed += usize::from(work.contains(name));
        }
    }
    let trash = root.join("trash");
    empty_trash(&trash).map_err(|error| Fault::io("emptying", trash.display(), error))?;
    Ok(removed)
}

fn names(dir: &Path) -> Result<Vec<String>, Fault> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Fault::io("reading", dir.display(), error))?,
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

/// None where somebody else has it.
fn lock(root: &Path, name: &str) -> io::Result<Option<Lock>> {
    lock_in(&root.join("lock"), name, FlockArg::LockExclusiveNonblock)
}

/// None where somebody has it who does not share it.
fn lock_in(dir: &Path, name: &str, how: FlockArg) -> io::Result<Option<Lock>> {
    make_dir(dir)?;
    let path = dir.join(name);
    loop {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        match Flock::lock(file, how) {
            Ok(lock) if is_at(&path, &lock)? => return Ok(Some(lock)),
            // Somebody had it meanwhile, and removed it.
            Ok(_) => {}
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return Err(error.into()),
        }
    }
}

/// Whether the file still has this name.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Only for the engine's user: workspaces hold other people's sources.
fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_stays_while_a_build_uses_it() {
        let root = tempfile::tempdir().unwrap();
        let (dir, build) = cache(root.path(), "p").unwrap();
        fs::write(dir.join("kept"), "x").unwrap();
        let (_, other) = cache(root.path(), "p").unwrap();
        drop(build);
        assert!(!remove_cache(root.path(), "p").unwrap());
        assert!(dir.join("kept").exists());
        drop(other);
        assert!(remove_cache(root.path(), "p").unwrap());
        assert!(!dir.exists());
        assert!(remove_cache(root.path(), "p").unwrap(), "gone is fine");
        assert!(cache(root.path(), "p").is_ok());
    }
}
