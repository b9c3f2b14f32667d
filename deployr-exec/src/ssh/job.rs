//! A command that may take long: it runs on the host apart from any connection, so that
//! one that is cut interrupts only our view of it.

use std::time::Duration;

use deployr_core::command::Command;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::log::LogStream;
use deployr_core::value::EnvSet;
use openssh::Stdio;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::call::{Lost, advice};
use super::host::Host;
use super::quote::Line;
use super::{env, script};

/// How long the host may be away while a command runs there.
const AWAY: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A command in the folder of a release. It runs once for each name.
pub(super) struct Job<'a> {
    pub(super) host: &'a Host,
    pub(super) slug: &'a str,
    pub(super) number: i64,
    /// `<deployment>-<what>`.
    pub(super) name: String,
    pub(super) command: &'a Command,
    /// The project's variables, where it is for the project's own commands.
    pub(super) env: Option<&'a EnvSet>,
    /// Whether another attempt of the deployment goes on with it.
    pub(super) is_resumed: bool,
}

impl Job<'_> {
    /// Runs it, or goes on with what an earlier call has begun, until it has ended; gives
    /// its exit code. What it says goes to the log.
    pub(super) async fn run(&self, ctx: &StepContext) -> StepResult<i32> {
        let (mut heard, mut away, mut pause) = (0, None, Duration::from_millis(100));
        loop {
            if ctx.cancel.is_cancelled() {
                if self.is_resumed && ctx.handed_over.is_cancelled() {
                    return Err(StepError::Stopped);
                }
                let words = [self.name.as_str()];
                self.host
                    .ask(self.slug, script::END_JOB, &words, None)
                    .await?;
                return Err(StepError::Stopped);
            }
            match self.step(&mut heard, ctx).await {
                Ok(Some(code)) => return Ok(code),
                Ok(None) => (away, pause) = (None, Duration::from_millis(100)),
                Err(StepError::Fault(fault)) if fault.retryable => {
                    let since = *away.get_or_insert_with(Instant::now);
                    if since.elapsed() > AWAY {
                        return Err(fault.into());
                    }
                    tokio::select! {
                        () = ctx.cancel.cancelled() => {}
                        () = sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts it unless it was, and listens to it until it or the connection ends.
    async fn step(&self, heard: &mut u64, ctx: &StepContext) -> StepResult<Option<i32>> {
        let number = self.number.to_string();
        let mut words = vec![self.name.as_str(), &number, &self.command.program];
        words.extend(self.command.args.iter().map(String::as_str));
        let env = env::text(self.env);
        let env = Some(env.as_bytes());
        let state = self.host.ask(self.slug, script::JOB, &words, env).await?;
        let (state, full) = state.split_once('\n').unwrap_or((&state, ""));
        // Not before: it would be started after it was to end.
        tokio::select! {
            () = ctx.cancel.cancelled() => return Ok(None),
            followed = self.follow(heard, ctx) => followed?,
        }
        if state == "running" {
            return Ok(None);
        }
        match state.strip_prefix("exit ").map(str::parse) {
            Some(Ok(0)) => Ok(Some(0)),
            ended if !full.is_empty() => {
                let ended = match ended {
                    Some(Ok(code)) => format!("it exited with {code}"),
                    _ => "how it ended could not be written down".to_owned(),
                };
                let (full, todo) = (full.trim(), advice(full).unwrap_or("see to that"));
                let reason = format!("{ended}, and the host says: {full}; {todo}");
                Err(Fault::permanent("run", self.command, reason).into())
            }
            Some(Ok(code)) => Ok(Some(code)),
            _ => {
                let reason = "it was killed on the host, or the host was started anew, and how \
                              far it had come is not known; look at what it has done, then \
                              deploy again";
                Err(Fault::permanent("run", self.command, reason).into())
            }
        }
    }

    /// Writes what it says to the log, from `heard` on.
    async fn follow(&self, heard: &mut u64, ctx: &StepContext) -> StepResult<()> {
        let session = &self.host.session;
        let _place = session.place().await?;
        let live = session.live().await?;
        let line = Line::new(script::FOLLOW, &session.target().root, self.slug)
            .word(&self.name)
            .word(&heard.to_string());
        let listen = async {
            let mut command = live.mux.raw_command(line.as_str());
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = command.spawn().await?;
            if let Some(mut stdout) = child.stdout().take() {
                let mut buffer = [0; 8192];
                loop {
                    let broken = |error: std::io::Error| Lost(error.to_string());
                    let length = stdout.read(&mut buffer).await.map_err(broken)?;
                    if length == 0 {
                        break;
                    }
                    *heard += length as u64;
                    ctx.log.write(LogStream::Stdout, &buffer[..length]).await;
                }
            }
            child.wait().await.map_err(Lost::from)
        };
        let reason = match listen.await {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => status.to_string(),
            Err(Lost(reason)) => reason,
        };
        session.forget(&live).await;
        Err(session.lost("follow", &reason).into())
    }
}
