//! Finds the processes that a build has left, wherever they have put themselves.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::env::MARKER;

/// A process that does not die of SIGKILL in this time waits for a broken disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills all processes of the builds whose marker fits, again and again until there
/// is none, for they may be starting more. Whether there is none.
///
/// A process that has left its group and its session still has the environment it
/// was started with.
pub(super) fn kill_marked(fits: impl Fn(&str) -> bool) -> bool {
    let begin = Instant::now();
    loop {
        let left = marked(&fits);
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

fn marked(fits: &impl Fn(&str) -> bool) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid: &i32| pid != std::process::id().cast_signed() && is_marked(pid, fits))
        .map(Pid::from_raw)
        .collect()
}

fn is_marked(pid: i32, fits: &impl Fn(&str) -> bool) -> bool {
    // Not to be read: another user's, or gone; empty: dead, and not yet waited for.
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ.split(|&byte| byte == 0).any(|variable| {
        let variable = std::str::from_utf8(variable).unwrap_or_default();
        let marker = variable.strip_prefix(MARKER).and_then(|rest| rest.strip_prefix('='));
        marker.is_some_and(fits)
    })
}
