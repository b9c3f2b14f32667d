//! Finds out whether a release is healthy, or has ended.

use std::net::SocketAddr;
use std::sync::Mutex;

use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::WaitContainerOptions;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::log::LogStream;
use deployr_core::value::BuildCommand;
use futures::StreamExt;

use super::DockerExecutor;
use crate::health::{self, Answer};

/// How much of what it said last is shown.
const LINES: usize = 50;

/// One verification.
pub(super) struct Verify<'a> {
    pub(super) executor: &'a DockerExecutor,
    pub(super) spec: &'a ReleaseSpec,
    /// The container's.
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// A health command that has not ended yet.
    pub(super) running: Mutex<Option<String>>,
}

impl Verify<'_> {
    pub(super) async fn run(&self, ctx: &StepContext) -> StepResult<()> {
        let (check, number) = (&self.spec.recipe.health, self.spec.number);
        let found = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            ended = self.ended() => return Err(self.start_failed(&ended?, ctx).await),
            found = health::wait(check, || self.probe()) => found,
        };
        match found {
            Ok(healthy) => {
                ctx.log
                    .say(format!("release {number} is healthy: {healthy}"))
                    .await;
                Ok(())
            }
            Err(unhealthy) => {
                self.show_output(ctx).await;
                // The verdict has the last.
                for probe in unhealthy.last.iter().rev().skip(1).rev() {
                    ctx.log.say(format!("not healthy {probe}")).await;
                }
                let message = format!("release {number} is {unhealthy}. {}", self.hint());
                Err(StepError::verdict(VerdictCode::Unhealthy, message))
            }
        }
    }

    /// Waits until the container has ended, and says how.
    async fn ended(&self) -> StepResult<String> {
        let client = self.executor.client();
        let docker = client.docker().await?;
        let options = WaitContainerOptions {
            condition: "not-running".to_owned(),
        };
        let mut wait = std::pin::pin!(docker.wait_container(&self.name, Some(options)));
        let code = match wait.next().await {
            Some(Ok(end)) => end.status_code,
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(client.fault("watching", &self.name, error).into()),
            None => {
                let error = Error::IOError {
                    err: std::io::ErrorKind::UnexpectedEof.into(),
                };
                return Err(client.fault("watching", &self.name, error).into());
            }
        };
        let found = self.executor.client().find_container(&self.name).await?;
        let state = found.and_then(|found| found.state);
        let starved = state.is_some_and(|state| state.oom_killed == Some(true));
        Ok(match self.executor.run_limits().memory_bytes {
            Some(bytes) if starved => {
                format!(
                    "was ended for want of memory (it may use {} MiB)",
                    bytes >> 20
                )
            }
            _ => format!("exited {code}"),
        })
    }

    async fn probe(&self) -> Answer {
        let check = &self.spec.recipe.health;
        match &check.command {
            Some(line) => self.command(line).await,
            None => {
                let host = format!("{}.localhost", self.spec.slug);
                health::http(self.address, &host, check).await
            }
        }
    }

    /// Runs the recipe's own check in the container. One that takes too long cannot be ended
    /// but with the container, and is not joined by another.
    async fn command(&self, line: &BuildCommand) -> Answer {
        let text = |error: Error| error.to_string();
        let docker = self.executor.client().docker().await;
        let docker = docker.map_err(|error| error.to_string())?;
        let before = self
            .running
            .lock()
            .ok()
            .and_then(|mut running| running.take());
        let id = match before {
            Some(id) => id,
            None => {
                let shell = ["/bin/sh", "-c", line.as_str()].map(str::to_owned);
                let options = CreateExecOptions {
                    attach_stdout: Some(true),
                    attach_stderr: Some(true),
                    cmd: Some(shell.to_vec()),
                    ..CreateExecOptions::default()
                };
                let id = docker
                    .create_exec(&self.name, options)
                    .await
                    .map_err(text)?
                    .id;
                self.remember(&id);
                if let StartExecResults::Attached { mut output, .. } =
                    docker.start_exec(&id, None).await.map_err(text)?
                {
                    while output.next().await.is_some() {}
                }
                id
            }
        };
        let found = docker.inspect_exec(&id).await.map_err(text)?;
        if found.running == Some(true) {
            self.remember(&id);
            return Err("the health command is still running".to_owned());
        }
        self.forget();
        match found.exit_code {
            Some(0) => Ok("the health command exited 0".to_owned()),
            Some(code) => Err(format!("the health command exited {code}")),
            None => Err("the health command has ended".to_owned()),
        }
    }

    fn remember(&self, id: &str) {
        if let Ok(mut running) = self.running.lock() {
            *running = Some(id.to_owned());
        }
    }

    fn forget(&self) {
        if let Ok(mut running) = self.running.lock() {
            running.take();
        }
    }

    async fn start_failed(&self, how: &str, ctx: &StepContext) -> StepError {
        self.show_output(ctx).await;
        let number = self.spec.number;
        let message = format!(
            "the container of release {number} {how} before it was healthy; its last output is \
             in the deployment's log. Its command must stay in the foreground, and may write to \
             `shared` and `writable` folders only, and to /tmp"
        );
        StepError::verdict(VerdictCode::StartFailed, message)
    }

    async fn show_output(&self, ctx: &StepContext) {
        let tail = self.executor.tail(&self.name, LINES).await;
        ctx.log.write(LogStream::Stdout, &tail).await;
    }

    fn hint(&self) -> String {
        match &self.spec.recipe.health.command {
            Some(_) => format!(
                "Run the health command by hand: docker exec {} …",
                self.name
            ),
            None => format!(
                "The app must listen on 0.0.0.0 and the port in PORT ({}) and answer GET {}",
                self.address.port(),
                self.spec.recipe.health.path
            ),
        }
    }
}
