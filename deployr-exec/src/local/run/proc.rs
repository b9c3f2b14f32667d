//! How all processes of a release are found and ended.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use deployr_core::error::{Fault, StepResult};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::blocking;
use super::env::MARK;
use crate::local::proc::{self, Stat};

/// A process for which no other can be mistaken: numbers are used again, but not
/// with the same start on the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    started: u64,
    boot: String,
}

impl Identity {
    /// Identifies a process that was just started. One that has ended already gets an
    /// identity that no living process has.
    pub(super) fn of(pid: i32) -> Self {
        let started = Stat::read(pid).map_or(0, |stat| stat.started);
        Self {
            pid,
            started,
            boot: boot(),
        }
    }

    /// Whether it runs.
    pub(super) fn is_alive(&self) -> bool {
        let same = |stat: Stat| stat.started == self.started && !stat.ended;
        self.boot == boot() && Stat::read(self.pid).is_some_and(same)
    }

    /// Whether the session that it has founded can only be its own.
    fn owns_session(&self) -> bool {
        // While a session has members, its number is not given to a new process.
        self.boot == boot() && Stat::read(self.pid).is_none_or(|stat| stat.started == self.started)
    }
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// All living processes of a session, and all that carry the mark in their
/// environment, wherever they have moved to.
fn members(leader: Option<&Identity>, mark: &Path) -> Vec<i32> {
    let session = leader
        .filter(|leader| leader.owns_session())
        .map(|leader| leader.pid);
    let mut variable = format!("{MARK}=").into_bytes();
    variable.extend_from_slice(mark.as_os_str().as_encoded_bytes());
    // Before a new one was started, all that came before it was killed.
    let since = leader
        .filter(|leader| leader.boot == boot())
        .map_or(0, |leader| leader.started);
    let is_member =
        |pid, stat: &Stat| Some(stat.session) == session || proc::has_variable(pid, &variable);
    proc::living(since, is_member)
}

/// Kills at once, and waits until nothing is left.
pub(super) fn kill_now(leader: Option<&Identity>, mark: &Path) -> StepResult<()> {
    proc::kill_all(|| members(leader, mark))
        .map_err(|left| Fault::retryable("stop", mark.display(), proc::stuck(&left)).into())
}

/// Asks to end, and kills what is left after `grace`.
pub(super) async fn stop(leader: Option<Identity>, mark: &Path, grace: Duration) -> StepResult<()> {
    let start = Instant::now();
    let mut asked = false;
    let mut pause = Duration::from_millis(2);
    while start.elapsed() < grace {
        // Looking at all processes of the host is only worth it once the first is gone.
        if !asked || !leader.as_ref().is_some_and(Identity::is_alive) {
            let (leader, mark) = (leader.clone(), mark.to_owned());
            let first = !asked;
            let left = blocking(move || {
                let left = members(leader.as_ref(), &mark);
                if first {
                    proc::signal(&left, Signal::SIGTERM);
                }
                Ok(left.len())
            });
            asked = true;
            if left.await? == 0 {
                return Ok(());
            }
        }
        tokio::time::sleep(pause.min(grace.saturating_sub(start.elapsed()))).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    let mark = mark.to_owned();
    blocking(move || kill_now(leader.as_ref(), &mark)).await
}
