use std::fs::{self, DirBuilder, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::sys::statvfs::statvfs;

/// Where a disk has less than this to give, whoever throws something away waits for the
/// room that it makes.
const SHORT: u64 = 1 << 30;

/// Takes a file, a link or a folder out of its place at once. What it was is removed by a
/// thread of its own, for that may take longer than the deployment; with it goes what
/// an engine that was killed has left in `trash`, a folder on the same disk for nothing
/// else. Nothing there is fine.
pub(super) fn throw_away(path: &Path, trash: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && has_room(path) => {}
        _ => return remove_all(path),
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(trash)?;
    let name = format!("{:016x}", RandomState::new().hash_one(path));
    if fs::rename(path, trash.join(name)).is_err() {
        // One that we may not write to cannot be moved.
        return remove_all(path);
    }
    let trash = trash.to_owned();
    let empty = move || {
        if let Err(error) = empty_trash(&trash) {
            tracing::warn!(%error, trash = %trash.display(), "what is of no use any more stays");
        }
    };
    // Without a thread it stays until the next time.
    let _ = thread::Builder::new()
        .name("deployr-trash".to_owned())
        .spawn(empty);
    Ok(())
}

/// Removes what was thrown away, one thing at a time.
pub(super) fn empty_trash(trash: &Path) -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = match fs::read_dir(trash) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut result = Ok(());
    for entry in entries {
        result = result.and(remove_all(&entry?.path()));
    }
    result
}

fn has_room(path: &Path) -> bool {
    statvfs(path)
        .is_ok_and(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()) >= SHORT)
}

/// Removes a file, a link or a folder, also where parts of it may not be written to, as
/// those of Go's module cache. Links are removed, not followed; nothing there is fine.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                make_writable(path)?;
                fs::remove_dir_all(path)
            }
            removed => removed,
        },
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
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
