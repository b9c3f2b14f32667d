//! Watches one running release: starts it again when it ends, once it has served.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::proc::kill_now;
use super::process::{Launch, RunFile, Up};
use super::{blocking, output};

/// Before the first restart; doubles with each that follows soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A process that ran for so long is restarted after the first pause again: it has not
/// crashed for the reason of the last time.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
const ADOPTED_POLL: Duration = Duration::from_millis(250);
const LOG_CHECK: Duration = Duration::from_secs(10);

/// How a release's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It ended, and is started again after a pause.
    Restarting,
    /// It ended before it ever served, and stays so.
    Ended,
}

/// What the supervisor tells of its release.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) run: RunFile,
    pub(super) state: ProcessState,
    pub(super) restarts: u32,
    /// How it ended the last time.
    pub(super) exit: String,
}

/// A supervised release.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) report: watch::Receiver<Report>,
    serves: watch::Sender<bool>,
    stop: CancellationToken,
    watching: TaskTracker,
}

impl Run {
    /// Watches a release until `engine` or the run itself is stopped. The process
    /// goes on in both cases.
    pub(super) fn watch(
        launch: Launch,
        up: Up,
        serves: bool,
        engine: &CancellationToken,
    ) -> Arc<Self> {
        let report = Report {
            run: up.run.clone(),
            state: ProcessState::Running,
            restarts: 0,
            exit: String::new(),
        };
        let (tell, report) = watch::channel(report);
        let (serves, serving) = watch::channel(serves);
        let stop = engine.child_token();
        let watching = TaskTracker::new();
        watching.spawn(supervise(launch, up, tell, serving, stop.clone()));
        watching.close();
        Arc::new(Self {
            report,
            serves,
            stop,
            watching,
        })
    }

    /// From now on it is started again whenever it ends.
    pub(super) fn serve(&self) {
        self.serves.send_replace(true);
    }

    /// Stops watching; returns when nothing will be started any more.
    pub(super) async fn release(&self) {
        self.stop.cancel();
        self.watching.wait().await;
    }

    /// Waits until the process has ended for good, and says how.
    pub(super) async fn ended(&self) -> String {
        let mut report = self.report.clone();
        match report
            .wait_for(|report| report.state == ProcessState::Ended)
            .await
        {
            Ok(report) => report.exit.clone(),
            Err(_) => "was stopped".to_owned(),
        }
    }
}

async fn supervise(
    launch: Launch,
    mut up: Up,
    tell: watch::Sender<Report>,
    mut serving: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        let exit = tokio::select! {
            exit = end_of(&mut up, &launch) => exit,
            () = stop.cancelled() => return,
        };
        clear(&launch, &up).await;
        let state = if *serving.borrow() {
            ProcessState::Restarting
        } else {
            ProcessState::Ended
        };
        tell.send_modify(|report| (report.state, report.exit) = (state, exit));
        tokio::select! {
            serves = serving.wait_for(|&serves| serves) => if serves.is_err() { return },
            () = stop.cancelled() => return,
        }
        tell.send_modify(|report| report.state = ProcessState::Restarting);
        if since.elapsed() > LONG_ENOUGH {
            pause = FIRST_PAUSE;
        }
        loop {
            let exit = tell.borrow().exit.clone();
            tracing::warn!(release = %launch.mark().display(), exit, ?pause, "restarting");
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            let again = launch.clone();
            // Not given up half-way: `release` waits for it.
            match blocking(move || again.restart()).await {
                Ok(Some(next)) => {
                    up = next;
                    break;
                }
                Ok(None) => return, // retired
                Err(error) => tell.send_modify(|report| report.exit = error.to_string()),
            }
        }
        tell.send_modify(|report| {
            report.run = up.run.clone();
            report.state = ProcessState::Running;
            report.restarts += 1;
        });
    }
}

/// Kills what the process has left behind, which would hold its port.
async fn clear(launch: &Launch, up: &Up) {
    let (process, mark) = (up.run.process.clone(), launch.mark());
    if let Err(error) = blocking(move || kill_now(Some(&process), &mark)).await {
        tracing::warn!(%error, "could not end what a release's process has started");
    }
}

/// Waits for the process to end, says how, and keeps its log short meanwhile.
async fn end_of(up: &mut Up, launch: &Launch) -> String {
    let ended = async {
        match &mut up.child {
            Some(child) => match child.wait().await {
                Ok(status) => format!("ended with {status}"),
                Err(error) => format!("ended ({error})"),
            },
            None => {
                while up.run.process.is_alive() {
                    sleep(ADOPTED_POLL).await;
                }
                "ended".to_owned()
            }
        }
    };
    let rotate = async {
        loop {
            sleep(LOG_CHECK).await;
            let log = launch.layout().log(launch.number());
            if let Err(error) = blocking(move || output::rotate(&log, output::LIMIT)).await {
                tracing::warn!(%error, "could not shorten a release's log");
            }
        }
    };
    tokio::select! {
        exit = ended => exit,
        never = rotate => never,
    }
}
