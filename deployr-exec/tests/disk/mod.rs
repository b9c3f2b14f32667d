//! A small disk for one test, which fills it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the disk of a test is, once it has one.
const DISK: &str = "DEPLOYR_TEST_DISK";

/// Runs the rest of the test called `name` (with its module) in a mount namespace of its
/// own, where a folder is a small disk: as root, or else as root of a user namespace.
pub(crate) fn on_a_disk(name: &str, options: &str, check: impl AsyncFnOnce(&Path)) {
    if let Some(disk) = std::env::var_os(DISK) {
        return run(check(Path::new(&disk)));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    let line =
        "mount -t tmpfs -o \"$1\" deployr-test \"$2\" && exec \"$3\" --exact \"$4\" --nocapture";
    unshare.args(["sh", "-c", line, "sh", options]);
    unshare.arg(folder.path());
    unshare.arg(std::env::current_exe().unwrap()).arg(name);
    let output = unshare.env(DISK, folder.path()).output();
    let output =
        output.unwrap_or_else(|error| panic!("`unshare` of util-linux is needed: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.contains("1 passed"),
        "it takes root, or a kernel that lets users have namespaces of their own:\n{out}\n{err}"
    );
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
