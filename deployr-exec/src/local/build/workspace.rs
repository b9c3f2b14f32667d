//! The folders of the builder: `work/<deployment>-<attempt>`, `lock/…` of the same
//! name, and `cache/<project>`.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use deployr_core::builder::Workspace;
use deployr_core::context::StepContext;
use deployr_core::error::Fault;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::reap::kill_marked;

/// Held by the engine for as long as it uses a workspace.
pub(super) type Lock = Flock<File>;

/// The name of a workspace, and the marker of its processes.
pub(super) fn name(ctx: &StepContext) -> String {
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
    let path = fs::canonicalize(&work).map_err(fault)?.join(name);
    let checkout = path.join("checkout");
    for dir in [&path, &checkout, &path.join("tmp"), &path.join("home")] {
        make_dir(dir).map_err(fault)?;
    }
    Ok((Workspace { path, checkout }, lock))
}

/// The project's cache, made where it is missing.
pub(super) fn cache(root: &Path, project: &str) -> Result<PathBuf, Fault> {
    let dir = root.join("cache").join(project);
    let made = make_dir(&dir).and_then(|()| fs::canonicalize(&dir));
    made.map_err(|error| Fault::io("making the cache", dir.display(), error))
}

/// Removes a workspace with all of its processes. One that is gone is fine.
pub(super) fn remove(root: &Path, name: &str) -> Result<(), Fault> {
    kill_marked(name);
    let path = root.join("work").join(name);
    remove_tree(&path).map_err(|error| Fault::io("removing", path.display(), error))?;
    // Nobody makes a workspace of that name again.
    let _ = fs::remove_file(root.join("lock").join(name));
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
    let work = root.join("work");
    let mut removed = 0;
    for name in names(&work)? {
        let fault = |error| Fault::io("locking", &name, error);
        let Some(_lock) = lock(root, &name).map_err(fault)? else {
            continue;
        };
        remove(root, &name)?;
        removed += 1;
    }
    Ok(removed)
}

fn names(work: &Path) -> Result<Vec<String>, Fault> {
    let entries = match fs::read_dir(work) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Fault::io("reading", work.display(), error))?,
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

/// None where somebody else has it.
fn lock(root: &Path, name: &str) -> io::Result<Option<Lock>> {
    let dir = root.join("lock");
    make_dir(&dir)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(name))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Only for the engine's user: workspaces hold other people's sources.
fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Removes a folder, also where a build has made parts of it unwritable. Links are
/// removed, not followed.
fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn make_writable(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // The type of the entry itself: a link is none.
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}
