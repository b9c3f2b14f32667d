use std::fs;
use std::path::Path;
use std::process::Command;

use deployr_core::error::{Fault, StepError, StepResult};
use tempfile::TempDir;

use crate::disk::run;
pub(crate) use crate::disk::{fill, on_a_disk};

/// Runs the rest of a test as a user who is not root, or as a root who is held to the
/// modes of files like everybody else.
pub(crate) fn held_to_modes(check: impl AsyncFnOnce(&Path)) {
    // Of this thread, and of all threads and processes that it starts.
    caps::clear(None, caps::CapSet::Effective).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(check(folder.path()));
}

#[track_caller]
pub(crate) fn fault<T: std::fmt::Debug>(answer: StepResult<T>) -> Fault {
    match answer {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("must be a fault, not {other:?}"),
    }
}

/// A fault that stays until somebody does what it says.
#[track_caller]
pub(crate) fn assert_says<T: std::fmt::Debug>(answer: StepResult<T>, what_to_do: &str) {
    let fault = fault(answer);
    let fits = !fault.retryable && fault.reason.contains(what_to_do);
    assert!(fits, "`{what_to_do}` is not what it says: {fault:?}");
}

pub(crate) fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn remount(disk: &Path, options: &str) {
    let mut mount = Command::new("mount");
    let status = mount
        .args(["-o", &format!("remount,{options}")])
        .arg(disk)
        .status();
    assert!(status.unwrap().success(), "{mount:?}");
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder on another disk than those of tests.
pub(crate) fn elsewhere() -> TempDir {
    tempfile::tempdir().unwrap()
}
