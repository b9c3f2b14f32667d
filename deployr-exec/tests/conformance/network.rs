//! A network of a test's own, in which the kernel hands connections on that a server which
//! ends has not taken yet: what docs/caddy.md tells operators to set.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

const INSIDE: &str = "DEPLOYR_TEST_NETWORK";

/// Runs the rest of the test called `name` (with its module) there: as root, or else as root
/// of a user namespace.
pub(crate) fn of_its_own(name: &str, check: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime.enable_all().build().unwrap().block_on(check());
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    let line = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && \
                echo 1 >/proc/sys/net/ipv4/tcp_migrate_req && exec \"$0\" --exact \"$1\" --nocapture";
    unshare.args(["sh", "-c", line]);
    unshare.arg(std::env::current_exe().unwrap()).arg(name);
    let output = unshare.env(INSIDE, "1").output();
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
