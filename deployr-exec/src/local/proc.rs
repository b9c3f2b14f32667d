//! What Linux tells of processes, and how many are ended that may be starting more.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that does not die of SIGKILL in this time waits for a broken disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A process, as `/proc/<pid>/stat` has it.
pub(super) struct Stat {
    /// A zombie, which only waits for its parent to look after it.
    pub(super) ended: bool,
    #[cfg(feature = "local-executor")]
    pub(super) session: i32,
    /// In ticks since the boot.
    pub(super) started: u64,
}

impl Stat {
    pub(super) fn read(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name, in brackets, with anything in it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            ended: matches!(*fields.first()?, "Z" | "X"),
            #[cfg(feature = "local-executor")]
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// All processes that have not ended, were not started before `since`, and that `wanted`
/// chooses. To look at one more closely takes far longer than to see how old it is.
pub(super) fn living(since: u64, wanted: impl Fn(i32, &Stat) -> bool) -> Vec<i32> {
    let chosen = |pid, stat: &Stat| !stat.ended && stat.started >= since && wanted(pid, stat);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| Stat::read(pid).is_some_and(|stat| chosen(pid, &stat)))
        .collect()
}

/// What a process that were started now would have as its [`Stat::started`]; 0 where the
/// kernel does not tell.
#[cfg(feature = "local-builder")]
pub(super) fn now() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    // Both in hundredths of a second.
    let ticks: String = uptime
        .chars()
        .take_while(|&c| c != ' ')
        .filter(|&c| c != '.')
        .collect();
    ticks.parse().unwrap_or(0)
}

/// Whether a process was started with this variable, as `NAME=value`. That of another
/// user's cannot be read.
pub(super) fn has_variable(pid: i32, variable: &[u8]) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environ
        .split(|&byte| byte == 0)
        .any(|entry| entry == variable)
}

/// Sends a signal to each.
pub(super) fn signal(pids: &[i32], signal: Signal) {
    for &pid in pids {
        // It may have ended since; whatever else is wrong shows when it stays.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Kills all that `find` finds, and waits until it finds nothing: those that were killed
/// may have started more.
///
/// # Errors
///
/// Those that are left after [`PATIENCE`].
pub(super) fn kill_all(find: impl Fn() -> Vec<i32>) -> Result<(), Vec<i32>> {
    let start = Instant::now();
    loop {
        let left = find();
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(left);
        }
        signal(&left, Signal::SIGKILL);
        thread::sleep(Duration::from_millis(2));
    }
}

/// What to say of processes that [`kill_all`] has left.
pub(super) fn stuck(left: &[i32]) -> String {
    format!(
        "the processes {left:?} are still there {} s after SIGKILL; see what they wait for (a \
         disk?), end them, and deploy again",
        PATIENCE.as_secs()
    )
}
