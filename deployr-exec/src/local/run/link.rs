//! The two kinds of links: from a release to what all releases share, and from
//! `current` to the release that is present.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use deployr_core::error::{Fault, StepResult};
use deployr_core::model::Turn;
use deployr_core::value::RelPath;
use tokio_util::sync::CancellationToken;

use super::layout::{Layout, remove_all, sync_parent, write_file};
use super::place::move_tree;

/// Replaces what `content` (a release, or what becomes one) has under the shared
/// paths by links to the project's one copy. The first release to have something
/// there gives the copy. May be done again at any point of an earlier time.
pub(crate) fn link_shared(
    layout: &Layout,
    content: &Path,
    paths: &[RelPath],
    cancel: &CancellationToken,
) -> StepResult<()> {
    for path in paths {
        if path.as_str() == "." {
            let reason = "the whole release cannot be shared; name folders in it under `shared`";
            return Err(Fault::permanent("share", content.display(), reason).into());
        }
        let below =
            |other: &&RelPath| *other != path && path.as_path().starts_with(other.as_path());
        if paths.iter().any(|other| below(&other)) {
            continue; // comes with the folder that it lies in
        }
        let (own, shared) = (path.under(content), path.under(&layout.shared()));
        make_parents(content, path.as_path())?;
        make_parents(&layout.shared(), path.as_path())?;
        if fs::symlink_metadata(&shared).is_err() {
            seed(&own, &shared, path, cancel)?;
        }
        link_one(&own, path)?;
    }
    Ok(())
}

/// The shared copy: what the release brings, or else something empty.
fn seed(own: &Path, shared: &Path, path: &RelPath, cancel: &CancellationToken) -> StepResult<()> {
    let fault = |error| Fault::io("share", shared.display(), error);
    match fs::symlink_metadata(own) {
        Ok(found) if !found.is_symlink() => move_tree(own, shared, cancel),
        // Nothing tells a file that is not there yet from a folder but its name.
        _ if shared
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().contains(&b'.')) =>
        {
            // Somebody will write passwords into it.
            let mut file = fs::OpenOptions::new();
            file.write(true)
                .create_new(true)
                .mode(0o600)
                .open(shared)
                .map_err(fault)?;
            Ok(())
        }
        _ => {
            tracing::debug!(%path, "made an empty shared folder");
            Ok(fs::create_dir(shared).map_err(fault)?)
        }
    }
}

fn link_one(own: &Path, path: &RelPath) -> StepResult<()> {
    // Out of the folders on the way to it, out of the release, out of `releases`.
    let up = "../".repeat(path.as_path().components().count() + 1);
    let target = PathBuf::from(format!("{up}shared/{path}"));
    if fs::read_link(own).is_ok_and(|present| present == target) {
        return Ok(());
    }
    remove_all(own)?;
    Ok(symlink(&target, own).map_err(|e| Fault::io("link", own.display(), e))?)
}

/// Makes the folders that `path` lies in; a link among them could lead anywhere.
fn make_parents(root: &Path, path: &Path) -> StepResult<()> {
    let mut folder = root.to_owned();
    for part in path.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        match fs::create_dir(&folder) {
            Ok(()) => {}
            Err(_) if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let reason = "it must be a folder for a shared path to lie in, and is not; \
                              take it out of the release or out of `shared`";
                return Err(Fault::permanent("share", folder.display(), reason).into());
            }
            Err(error) => return Err(Fault::io("create", folder.display(), error).into()),
        }
    }
    Ok(())
}

/// The release that `current` leads to.
pub(crate) fn current(layout: &Layout) -> StepResult<Option<i64>> {
    let path = layout.current();
    let target = match fs::read_link(&path) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            return Err(foreign(&path, "it is not a link"));
        }
        Err(error) => return Err(Fault::io("read", path.display(), error).into()),
    };
    let parts: Vec<_> = target.components().collect();
    match parts[..] {
        [Component::Normal(folder), Component::Normal(number)] if folder == "releases" => {
            number.to_str().and_then(|text| text.parse().ok())
        }
        _ => None,
    }
    .map(Some)
    .ok_or_else(|| foreign(&path, &format!("it leads to {}", target.display())))
}

/// A release that is present is neither stopped nor removed.
pub(crate) fn check_not_present(layout: &Layout, number: i64) -> StepResult<()> {
    if current(layout)? != Some(number) {
        return Ok(());
    }
    let path = layout.release(number);
    let reason = "it is the present one; switch to another release first";
    Err(Fault::permanent("stop", path.display(), reason).into())
}

fn foreign(path: &Path, found: &str) -> deployr_core::error::StepError {
    let reason = format!("{found}, so it was not made by deployr; move it away and deploy again");
    Fault::permanent("read", path.display(), reason).into()
}

/// Lets `current` lead to the release, unless a newer deployment was here before.
pub(crate) fn switch(
    layout: &Layout,
    number: i64,
    turn: Turn,
    is_placed: impl FnOnce() -> StepResult<()>,
) -> StepResult<()> {
    let _lock = layout.lock()?;
    // Under the lock: nobody discards it between this look and the switch.
    is_placed()?;
    let seen = turn_seen(layout)?;
    if turn < seen {
        let reason = format!(
            "{turn} comes after {seen} has switched already; nothing was changed. \
             Deploy again (or, if the store was made anew, remove {})",
            layout.turn().display()
        );
        return Err(Fault::permanent("switch", layout.current().display(), reason).into());
    }
    let present = current(layout)?; // also refuses to replace what is not ours
    if turn > seen {
        let line = format!("{} {}\n", turn.deployment, turn.attempt);
        write_file(&layout.turn(), line.as_bytes())?;
    }
    if present == Some(number) {
        return Ok(());
    }
    let (link, temp) = (layout.current(), layout.base.join(".current.tmp"));
    remove_all(&temp)?;
    let turn_over = || -> io::Result<()> {
        symlink(format!("releases/{number}"), &temp)?;
        fs::rename(&temp, &link)?;
        sync_parent(&link)
    };
    Ok(turn_over().map_err(|e| Fault::io("switch", link.display(), e))?)
}

/// `<deployment> <attempt>`; the attempt may be missing.
fn turn_seen(layout: &Layout) -> StepResult<Turn> {
    let path = layout.turn();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Turn::default()),
        Err(error) => return Err(Fault::io("read", path.display(), error).into()),
    };
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next().unwrap_or(Ok(0))) {
        (Some(Ok(deployment)), Ok(attempt)) => Ok(Turn::new(deployment, attempt)),
        _ => {
            let reason = "it holds no number; write the number of the last deployment into it";
            Err(Fault::permanent("read", path.display(), reason).into())
        }
    }
}
