//! Takes an artifact out of the builder's workspace and makes it a release.
//!
//! The artifact is finished (marker, links) where it lies and then takes its place
//! by one rename. So at any moment there is either an artifact that can be placed
//! again, or a whole release; and nothing is copied, unless the workspace is on
//! another file system.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::num::NonZero;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::ReleaseId;
use deployr_core::value::CommitId;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::layout::{Layout, remove_all, sync_parent};
use super::link;

const MARKER: &str = ".deployr-release";

/// Tells what lies in a release's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    release: ReleaseId,
    number: i64,
    commit: CommitId,
    digest: String,
}

/// Whether the release lies there, whole, and is no other of the same number.
pub(crate) fn is_placed(layout: &Layout, number: i64, release: ReleaseId) -> bool {
    fs::read(layout.release(number).join(MARKER))
        .ok()
        .and_then(|text| serde_json::from_slice::<Marker>(&text).ok())
        .is_some_and(|marker| marker.release == release)
}

/// Verdict `release_gone` where it does not.
pub(crate) fn check(layout: &Layout, number: i64, release: ReleaseId) -> StepResult<()> {
    if is_placed(layout, number, release) {
        return Ok(());
    }
    let path = layout.release(number);
    let message = format!(
        "release {number} is not in {}; deploy its commit again",
        path.display()
    );
    Err(StepError::verdict(VerdictCode::ReleaseGone, message))
}

/// Makes the folders of the project, and says whether the release lies there already. What
/// else there is under its number may then be discarded.
pub(crate) fn claim(layout: &Layout, number: i64, release: ReleaseId) -> StepResult<bool> {
    layout.create()?;
    for path in layout.leftovers(|of| of == number)? {
        layout.throw_away(&path)?;
    }
    if is_placed(layout, number, release) {
        return Ok(true);
    }
    if link::current(layout)? == Some(number) {
        let reason = "another release of this number is present there, as happens when \
                      the store was made anew; give the engine another root";
        let path = layout.release(number);
        return Err(Fault::permanent("place", path.display(), reason).into());
    }
    Ok(false)
}

/// Makes the artifact the release. Whether another one of that number may be
/// replaced was decided before.
pub(crate) fn place(
    layout: &Layout,
    spec: &ReleaseSpec,
    artifact: &Artifact,
    attempt: i64,
    cancel: &CancellationToken,
) -> StepResult<()> {
    let source = folder_of(artifact)?;
    let release = layout.release(spec.number);
    link::link_shared(layout, &source, &spec.recipe.shared, cancel)?;
    for path in &spec.recipe.writable {
        let folder = path.under(&source);
        // A link to something shared leads there only once the release has its place.
        if fs::symlink_metadata(&folder).is_err() {
            fs::create_dir_all(&folder).map_err(|e| Fault::io("create", folder.display(), e))?;
        }
    }
    write_marker(spec, artifact, &source)?;
    let temp = layout
        .releases()
        .join(format!(".{}.{attempt}.tmp", spec.number));
    move_tree_by(&source, &release, &temp, cancel)
}

fn folder_of(artifact: &Artifact) -> StepResult<PathBuf> {
    match &artifact.content {
        ArtifactContent::Folder(path) => fs::canonicalize(path).map_err(|error| {
            let gone = error.kind() == ErrorKind::NotFound;
            let fault = Fault::io("place", path.display(), error);
            if !gone {
                return fault.into();
            }
            let reason = "the artifact is no longer there, and the release is not either; \
                          it has to be built again";
            Fault {
                reason: reason.to_owned(),
                retryable: true,
                ..fault
            }
            .into()
        }),
        _ => Err(StepError::verdict(
            VerdictCode::Unsupported,
            "the local executor runs folders, and the build made a container image; \
             choose a target that runs containers, or a build that makes a folder",
        )),
    }
}

fn write_marker(spec: &ReleaseSpec, artifact: &Artifact, folder: &Path) -> StepResult<()> {
    let path = folder.join(MARKER);
    let marker = Marker {
        release: spec.release,
        number: spec.number,
        commit: spec.commit.clone(),
        digest: artifact.digest.clone(),
    };
    remove_all(&path)?; // it could be a link that the build has made
    let write = || fs::write(&path, serde_json::to_vec(&marker)?);
    Ok(write().map_err(|e| Fault::io("write", path.display(), e))?)
}

/// Moves a file or a folder, so that it is at one end or at the other, whole.
pub(crate) fn move_tree(from: &Path, to: &Path, cancel: &CancellationToken) -> StepResult<()> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    move_tree_by(from, to, &to.with_file_name(format!(".{name}.tmp")), cancel)
}

fn move_tree_by(from: &Path, to: &Path, temp: &Path, cancel: &CancellationToken) -> StepResult<()> {
    let fault = |error| Fault::io("place", to.display(), error);
    sync_all(from).map_err(fault)?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            remove_all(temp)?;
            let copied = copy_tree(from, temp, cancel).and_then(|()| {
                sync_all(temp)
                    .and_then(|()| fs::rename(temp, to))
                    .map_err(fault)?;
                Ok(())
            });
            if copied.is_err() {
                remove_all(temp)?;
            }
            copied?;
        }
        moved => moved.map_err(fault)?,
    }
    Ok(sync_parent(to).map_err(fault)?)
}

/// Without this a power failure could leave the name of a release on files that are
/// empty. One call for the whole file system is far cheaper than one for each file.
fn sync_all(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(path)?)?)
}

/// Copies with modes, links and times. Files go in parallel; the kernel copies them.
fn copy_tree(from: &Path, to: &Path, cancel: &CancellationToken) -> StepResult<()> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let fault = |error| Fault::io("copy", from.display(), error);
    walk(from, to, &mut files, &mut folders).map_err(fault)?;
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        while let Some((from, to)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancel.is_cancelled() {
                break;
            }
            fs::copy(from, to)?;
            keep_time(from, to)?;
        }
        Ok(())
    };
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(8);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a copying thread panicked")))
        })
    })
    .map_err(fault)?;
    if cancel.is_cancelled() {
        return Err(StepError::Stopped);
    }
    // Last, and from within: a folder may be closed to writing, and each file changes its time.
    for (from, to) in folders.iter().rev() {
        let keep = || fs::set_permissions(to, fs::metadata(from)?.permissions());
        keep_time(from, to).and_then(|()| keep()).map_err(fault)?;
    }
    Ok(())
}

type Pairs = Vec<(PathBuf, PathBuf)>;

/// Makes folders and links; notes the files.
fn walk(from: &Path, to: &Path, files: &mut Pairs, folders: &mut Pairs) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        files.push((from.to_owned(), to.to_owned()));
        return Ok(());
    }
    if !kind.is_dir() {
        let text = format!(
            "{} is neither a file nor a folder nor a link",
            from.display()
        );
        return Err(io::Error::new(ErrorKind::Unsupported, text));
    }
    fs::create_dir(to)?;
    folders.push((from.to_owned(), to.to_owned()));
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        walk(&entry.path(), &to.join(entry.file_name()), files, folders)?;
    }
    Ok(())
}

fn keep_time(from: &Path, to: &Path) -> io::Result<()> {
    File::open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_keeps_modes_links_and_times() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir_all(from.join("closed")).unwrap();
        fs::write(from.join("closed/run.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(
            from.join("closed/run.sh"),
            fs::Permissions::from_mode(0o751),
        )
        .unwrap();
        symlink("closed/run.sh", from.join("link")).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        File::open(from.join("closed/run.sh"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        fs::set_permissions(from.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();

        copy_tree(&from, &to, &CancellationToken::new()).unwrap();

        let file = fs::metadata(to.join("closed/run.sh")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o751);
        assert_eq!(file.modified().unwrap(), old);
        assert_eq!(
            fs::metadata(to.join("closed"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o555
        );
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("closed/run.sh")
        );
        remove_all(&from).unwrap();
        remove_all(&to).unwrap();
    }

    #[test]
    fn a_cancelled_copy_stops() {
        let root = tempfile::tempdir().unwrap();
        let from = root.path().join("a");
        fs::create_dir(&from).unwrap();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let stopped = copy_tree(&from, &root.path().join("b"), &cancel);
        assert!(matches!(stopped, Err(StepError::Stopped)));
    }
}
