//! Finds the processes that a build has left, wherever they have put themselves.

use std::fs;

use deployr_core::error::Fault;
use nix::sys::resource::{Resource, setrlimit};
use sha2::{Digest, Sha256};

use super::env::MARKER;
use crate::local::proc::{self, Stat};

/// Marks the processes of a build. The mark is a resource limit that the kernel has not
/// used since Linux 2.4 but still hands down to each child: a process that has left the
/// build's group and session, and has cleared its environment, is found by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl Mark {
    pub(super) fn of(marker: &str) -> Self {
        let digest = Sha256::digest(marker);
        let number = digest
            .iter()
            .take(6)
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        // Far from what anybody would set as a limit.
        Self(1 << 50 | number)
    }

    /// Marks this process. Only a system call: it runs between fork and exec.
    pub(super) fn apply(self) {
        // Not possible in a build of a build; there is the environment still.
        let _ = setrlimit(Resource::RLIMIT_LOCKS, self.0, self.0);
    }

    fn is_on(self, pid: i32) -> bool {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let locks = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max file locks"));
        let hard = locks.and_then(|locks| locks.split_whitespace().nth(1));
        hard.and_then(|hard| hard.parse().ok()) == Some(self.0)
    }
}

/// Kills all processes of a build, again and again until there is none, for they may
/// be starting more. None of them was started before `since`.
///
/// # Errors
///
/// A fault when some do not die.
pub(super) fn kill_marked(marker: &str, since: u64) -> Result<(), Fault> {
    let (mark, variable) = (Mark::of(marker), format!("{MARKER}={marker}"));
    let engine = std::process::id().cast_signed();
    let of_build = |pid: i32, _: &Stat| {
        pid != engine && (mark.is_on(pid) || proc::has_variable(pid, variable.as_bytes()))
    };
    proc::kill_all(|| proc::living(since, of_build)).map_err(|left| {
        Fault::retryable(
            "stopping",
            format_args!("build {marker}"),
            proc::stuck(&left),
        )
    })
}
