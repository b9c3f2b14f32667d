//! A small disk for one test, which fills it.

#[path = "../namespace/mod.rs"]
mod namespace;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where the disk of a test is, once it has one.
const DISK: &str = "DEPLOYR_TEST_DISK";

/// Runs the rest of the test called `name` (with its module) in a mount namespace of its
/// own, where a folder is a small disk: as root, or else as root of a user namespace.
pub(crate) fn on_a_disk(name: &str, options: &str, check: impl AsyncFnOnce(&Path)) {
    if let Some(disk) = std::env::var_os(DISK) {
        return run(check(Path::new(&disk)));
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o {options} deployr-test \"${DISK}\" && exec \"$@\"");
    namespace::run_again(name, "--mount", &script, (DISK, folder.path().as_os_str()));
}

/// A file that takes all the room that is left.
pub(crate) fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for piece in [1 << 16, 1] {
        let error = loop {
            if let Err(error) = file.write_all(&vec![0; piece]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    path
}

pub(crate) fn run(check: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().unwrap().block_on(check);
}
