//! What Linux tells of processes, and how all of a release's are found and ended.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use deployr_core::error::{Fault, StepResult};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::blocking;
use super::env::MARK;

/// A process for which no other can be mistaken: numbers are used again, but not
/// with the same start on the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    started: u64,
    boot: String,
}

impl Identity {
    /// That of a process that was just started; none when it has ended already.
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

struct Stat {
    ended: bool,
    session: i32,
    started: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name, in brackets, with anything in it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            ended: matches!(*fields.first()?, "Z" | "X"),
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// All living processes of a session, and all that carry the mark in their
/// environment, wherever they have moved to.
fn members(leader: Option<&Identity>, mark: &Path) -> Vec<i32> {
    let session = leader
        .filter(|leader| leader.owns_session())
        .map(|leader| leader.pid);
    let mut wanted = format!("{MARK}=").into_bytes();
    wanted.extend_from_slice(mark.as_os_str().as_encoded_bytes());
    let marked = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|&byte| byte == 0).any(|entry| entry == wanted))
    };
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| {
            Stat::read(pid)
                .is_some_and(|stat| !stat.ended && (Some(stat.session) == session || marked(pid)))
        })
        .collect()
}

fn signal(pids: &[i32], signal: Signal) {
    for &pid in pids {
        // It may have ended since; whatever else is wrong shows when it stays.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Kills at once, and waits until nothing is left. New children of those that were
/// killed are found in the next round.
pub(super) fn kill_now(leader: Option<&Identity>, mark: &Path) -> StepResult<()> {
    let start = Instant::now();
    loop {
        let left = members(leader, mark);
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(5) {
            let reason = format!(
                "the processes {left:?} are still there 5 s after SIGKILL; \
                 see what they wait for (a disk?), end them, and deploy again"
            );
            return Err(Fault::retryable("stop", mark.display(), reason).into());
        }
        signal(&left, Signal::SIGKILL);
        std::thread::sleep(Duration::from_millis(2));
    }
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
                    signal(&left, Signal::SIGTERM);
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
