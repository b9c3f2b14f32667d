//! Runs one command of a build, and leaves nothing of it alive.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use deployr_core::command::Command;
use deployr_core::context::StepContext;
use deployr_core::error::Fault;
use deployr_core::log::LogStream;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, setsid};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::lifeline;
use super::limits::BuildLimits;
use super::pump::{Pump, Tail};
use super::reap::{Mark, kill_marked};
use crate::local::proc::{PATIENCE, Stat, stuck};
use crate::local::sandbox::Rules;

/// How long the last output is waited for once somebody wants the build to end.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// How long the end of a killed build is waited for: somewhat longer than its thread tries
/// to kill what the build has left.
const DEATH: Duration = PATIENCE.saturating_add(Duration::from_secs(1));

/// A command of a build, with everything that it is started with.
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) dir: PathBuf,
    pub(super) env: Vec<(String, String)>,
    pub(super) limits: BuildLimits,
    pub(super) rules: Option<Rules>,
    pub(super) marker: String,
}

/// How a command ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exited(ExitStatus, Tail),
    TimedOut,
    Stopped,
}

/// Runs the job until it ends, `deadline` passes or the context is cancelled; in the
/// latter cases it has `grace` to end by itself. No process of it is alive afterwards.
///
/// # Errors
///
/// A fault when it could not be started, or does not die when it is killed.
pub(super) async fn run(
    job: Job,
    deadline: Instant,
    grace: Duration,
    ctx: &StepContext,
) -> Result<Ended, Fault> {
    let fault = |error| Fault::io("running", "the build", error);
    let Launched {
        group,
        stdout,
        stderr,
        mut exit,
    } = launch(job).await.map_err(fault)?;
    let stdout = tokio::process::ChildStdout::from_std(stdout).map_err(fault)?;
    let stderr = tokio::process::ChildStderr::from_std(stderr).map_err(fault)?;
    let stdout = Pump::start(stdout, LogStream::Stdout, ctx.log.clone());
    let stderr = Pump::start(stderr, LogStream::Stderr, ctx.log.clone());

    let why = tokio::select! {
        status = &mut exit => {
            // The thread that sends it never ends without.
            let lost = |_| io::Error::other("nothing waits for it any more");
            let status = status.map_err(lost).and_then(|status| status).map_err(fault)?;
            let tail = stdout.finish().await.and(stderr.finish().await);
            return Ok(Ended::Exited(status, tail));
        }
        () = ctx.cancel.cancelled() => Ended::Stopped,
        () = sleep_until(deadline) => Ended::TimedOut,
    };
    group.signal(Signal::SIGTERM);
    if timeout(grace, &mut exit).await.is_err() {
        group.signal(Signal::SIGKILL);
        if timeout(DEATH, exit).await.is_err() {
            let reason = stuck(group.leader().as_slice());
            return Err(Fault::retryable("stopping", "the build", reason));
        }
    }
    // The log may be slow; whoever stops a build does not wait for that.
    let last = async { (stdout.finish().await, stderr.finish().await) };
    let _ = timeout(LAST_OUTPUT, last).await;
    Ok(why)
}

struct Launched {
    group: Group,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// Sent once all processes of the build are gone.
    exit: oneshot::Receiver<io::Result<ExitStatus>>,
}

/// The process group of a build, for as long as its number cannot mean another one.
/// Killed when dropped: that happens where the future of a build is.
#[derive(Debug)]
struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    fn leader(&self) -> Option<i32> {
        let leader = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leader.map(Pid::as_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // It may have ended by itself.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Starts the job from a thread of its own, which then waits for it and ends what it has
/// left behind.
async fn launch(job: Job) -> io::Result<Launched> {
    let (started, starting) = oneshot::channel();
    thread::Builder::new()
        .name("deployr-build".to_owned())
        .spawn(move || {
            let marker = job.marker.clone();
            let begin = || {
                let (at_build, at_engine) = io::pipe()?;
                Ok((command(job, at_build).spawn()?, at_engine))
            };
            // Let go of when the build is over, or when the engine is.
            let (mut child, _lifeline) = match begin() {
                Ok(begun) => begun,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let leader = Pid::from_raw(child.id().cast_signed());
            let group = Arc::new(Mutex::new(Some(leader)));
            let (exited, exit) = oneshot::channel();
            if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
                let group = Group(Arc::clone(&group));
                // Where nobody waits any more, this drops the group, and that kills it.
                let _ = started.send(Ok(Launched {
                    group,
                    stdout,
                    stderr,
                    exit,
                }));
            }
            // Not yet reaped, the leader keeps its number for the group.
            while waitid(Id::Pid(leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
                == Err(Errno::EINTR)
            {}
            let _ = killpg(leader, Signal::SIGKILL);
            let since = Stat::read(leader.as_raw()).map_or(0, |leader| leader.started);
            if let Err(fault) = kill_marked(&marker, since) {
                tracing::warn!(build = marker, %fault, "a build has left something");
            }
            // Before it is reaped, after which the number may be somebody else's.
            *group.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let _ = exited.send(child.wait());
        })?;
    starting
        .await
        .map_err(|_| io::Error::other("the thread that starts it has ended"))?
}

fn command(job: Job, lifeline: PipeReader) -> std::process::Command {
    let mut command = std::process::Command::new(&job.command.program);
    command
        .args(&job.command.args)
        .current_dir(&job.dir)
        .env_clear()
        .envs(job.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (limits, mut rules) = (job.limits, job.rules);
    let mark = Mark::of(&job.marker);
    #[expect(
        unsafe_code,
        reason = "the closure makes system calls only, and allocates nothing"
    )]
    unsafe {
        command.pre_exec(move || confine_child(lifeline.as_fd(), &limits, mark, rules.take()));
    }
    command
}

/// In the child, between fork and exec.
fn confine_child(
    lifeline: BorrowedFd<'_>,
    limits: &BuildLimits,
    mark: Mark,
    rules: Option<Rules>,
) -> io::Result<()> {
    // No terminal to ask for a password on, and one number to signal all of it by.
    setsid()?;
    lifeline::hold(lifeline)?;
    mark.apply();
    limits.apply()?;
    if let Some(rules) = rules {
        rules.impose()?;
    }
    Ok(())
}

/// The signal that ended a command, also where its shell has turned it into a number.
pub(super) fn ending_signal(status: ExitStatus) -> Option<i32> {
    let by_shell = || {
        status
            .code()
            .filter(|code| (129..=160).contains(code))
            .map(|code| code - 128)
    };
    status.signal().or_else(by_shell)
}
