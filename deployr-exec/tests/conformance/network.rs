//! A network of a test's own, in which the kernel hands connections on that a server which
//! ends has not taken yet: what docs/caddy.md tells operators to set.

#[path = "../namespace/mod.rs"]
mod namespace;

use std::ffi::OsStr;

const INSIDE: &str = "DEPLOYR_TEST_NETWORK";

/// Runs the rest of the test called `name` (with its module) there: as root, or else as root
/// of a user namespace.
pub(crate) fn of_its_own(name: &str, check: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime.enable_all().build().unwrap().block_on(check());
    }
    let script = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && \
                  echo 1 >/proc/sys/net/ipv4/tcp_migrate_req && exec \"$@\"";
    namespace::run_again(name, "--net", script, (INSIDE, OsStr::new("1")));
}
