//! Namespaces of the kernel for one test alone: it is run again in them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Runs the test called `name` (with its module) again where `unshare` has made namespaces of
/// this kind: as root, or else as root of a user namespace. `script` ends in `exec "$@"`, and
/// `inside` is a variable by which the test knows where it is.
pub(crate) fn run_again(name: &str, kind: &str, script: &str, inside: (&str, &OsStr)) {
    let mut unshare = Command::new("unshare");
    unshare.arg(kind);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["sh", "-c", script, "sh"]);
    unshare.arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", name, "--nocapture"]);
    let output = unshare.env(inside.0, inside.1).output();
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
