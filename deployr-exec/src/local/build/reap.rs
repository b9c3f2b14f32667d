//! Finds the processes that a build has left, wherever they have put themselves.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use super::env::MARKER;

/// A process that does not die of SIGKILL in this time waits for a broken disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// A number of a build that all its processes carry, also those that have left its
/// group, its session and its environment: a limit which the kernel hands down to
/// each child and has otherwise not used since Linux 2.4.
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
/// be starting more. Whether there is none.
pub(super) fn kill_marked(marker: &str) -> bool {
    let begin = Instant::now();
    loop {
        let left = marked(marker);
        if left.is_empty() {
            return true;
        }
        for pid in left {
            // It may have ended by itself.
            let _ = kill(pid, Signal::SIGKILL);
        }
        if begin.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn marked(marker: &str) -> Vec<Pid> {
    let (mark, variable) = (Mark::of(marker), format!("{MARKER}={marker}"));
    let is_marked = |pid: &i32| is_alive(*pid) && (mark.is_on(*pid) || has(*pid, &variable));
    let engine = std::process::id().cast_signed();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != engine)
        .filter(is_marked)
        .map(Pid::from_raw)
        .collect()
}

/// Not a zombie, which only waits for its parent to look after it.
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may have anything in it.
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether a process was started with this variable. Not to be read: another user's.
fn has(pid: i32, variable: &str) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ
        .split(|&byte| byte == 0)
        .any(|var| var == variable.as_bytes())
}
