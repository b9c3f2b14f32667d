//! Why a command failed, as far as its end tells.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use deployr_core::error::{StepError, VerdictCode};
use nix::sys::signal::Signal;
use nix::sys::statvfs::statvfs;

use super::limits::BuildLimits;
use super::process::ending_signal;
use super::pump::Tail;

/// Below this a disk counts as full. What a command says is no sign of it: `ENOSPC` is
/// also what node calls a want of file watchers.
const FULL: u64 = 1 << 20;
const NO_MEMORY: [&str; 3] = [
    "JavaScript heap out of memory",
    "Cannot allocate memory",
    "Allowed memory size of",
];

/// What a failed command says about the deployment.
pub(super) fn failed(
    line: &str,
    status: ExitStatus,
    tail: &Tail,
    workspace: &Path,
    limits: &BuildLimits,
) -> StepError {
    let line = shown(line);
    let signal = ending_signal(status);
    let is = |wanted: Signal| signal == Some(wanted as i32);
    if is(Signal::SIGXFSZ) {
        let most = limits.file_bytes.unwrap_or_default() >> 20;
        return StepError::verdict(
            VerdictCode::DiskFull,
            format!(
                "`{line}` wrote a file of more than {most} MiB, which is more than a build may; \
                    make it smaller, or raise the builder's `file_bytes`"
            ),
        );
    }
    if is_full(workspace) {
        return StepError::verdict(
            VerdictCode::DiskFull,
            format!(
                "`{line}` failed because the disk of the builder is full; free some space and \
                    deploy again"
            ),
        );
    }
    if is(Signal::SIGKILL) || tail.has(&NO_MEMORY) {
        let most = match limits.memory_bytes {
            Some(bytes) => format!("each process of a build may use {} MiB", bytes >> 20),
            None => "the host had no more".to_owned(),
        };
        return StepError::verdict(
            VerdictCode::OutOfMemory,
            format!(
                "`{line}` was ended for want of memory ({most}); make it use less, or raise the \
                    builder's `memory_bytes`"
            ),
        );
    }
    let how = match (status.code(), signal) {
        (Some(code), _) => format!("exited {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {signal}"),
        },
        (None, None) => "ended".to_owned(),
    };
    let hint = match status.code() {
        Some(126 | 127) => {
            "; a program that it needs is not there for builds: install it for all users, or \
                add its folder to the builder's `tool_dirs`"
        }
        _ => "; its last lines in the log say why",
    };
    StepError::verdict(VerdictCode::BuildFailed, format!("`{line}` {how}{hint}"))
}

/// The verdict on a build that took too long.
pub(crate) fn timed_out(line: &str, limit: Duration) -> StepError {
    StepError::verdict(
        VerdictCode::BuildTimedOut,
        format!(
            "the build was still in `{}` after {} s, which is as long as it may take; make it \
             faster, or raise `build_timeout_s` of the project",
            shown(line),
            limit.as_secs_f64(),
        ),
    )
}

fn is_full(workspace: &Path) -> bool {
    statvfs(workspace).is_ok_and(|disk| {
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        free < FULL || (disk.files() > 0 && disk.files_available() == 0)
    })
}

/// The first line of a command, cut where it is long.
pub(crate) fn shown(line: &str) -> String {
    let first = line.lines().next().unwrap_or_default();
    let mut shown: String = first.chars().take(80).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}
