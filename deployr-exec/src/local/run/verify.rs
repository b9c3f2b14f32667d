//! Finds out whether a release is healthy, or has ended.

use std::process::ExitStatus;
use std::sync::Arc;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::{Endpoint, ReleaseSpec};
use deployr_core::log::LogStream;
use deployr_core::value::BuildCommand;

use super::proc::kill_now;
use super::process::{self, RunFile};
use super::spawn::Surroundings;
use super::supervisor::Run;
use super::{blocking, output};
use crate::health::{self, Answer};

/// One verification.
pub(super) struct Verify<'a> {
    pub(super) around: Surroundings,
    pub(super) spec: &'a ReleaseSpec,
    pub(super) endpoint: &'a Endpoint,
    /// The process, where the release has one that this engine knows.
    pub(super) run: Option<Arc<Run>>,
}

impl Verify<'_> {
    pub(super) async fn run(&self, ctx: &StepContext) -> StepResult<()> {
        let check = &self.spec.recipe.health;
        let found = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(StepError::Stopped),
            exit = self.ended() => Err(self.start_failed(&exit, ctx).await),
            found = health::wait(check, || self.probe()) => Ok(found),
        };
        if check.command.is_some() {
            self.end_command().await?;
        }
        let number = self.spec.number;
        match found? {
            Ok(healthy) => {
                // Who answered may have been another process on its port.
                if self
                    .run
                    .as_ref()
                    .is_some_and(|run| !run.report.borrow().run.process.is_alive())
                {
                    return Err(self.start_failed("ended", ctx).await);
                }
                ctx.log
                    .say(format!("release {number} is healthy: {healthy}"))
                    .await;
                Ok(())
            }
            Err(unhealthy) => {
                self.show_output(ctx).await;
                // The verdict has the last.
                let earlier = unhealthy.last.iter().rev().skip(1).rev();
                for probe in earlier {
                    ctx.log.say(format!("not healthy {probe}")).await;
                }
                let hint = self.hint();
                let message = format!("release {number} is {unhealthy}. {hint}");
                Err(StepError::verdict(VerdictCode::Unhealthy, message))
            }
        }
    }

    async fn ended(&self) -> String {
        match &self.run {
            Some(run) => run.ended().await,
            None => std::future::pending().await,
        }
    }

    async fn probe(&self) -> Answer {
        let check = &self.spec.recipe.health;
        match (&check.command, self.endpoint) {
            (Some(line), _) => self.command(line).await,
            (None, Endpoint::Http { address }) => {
                health::http(*address, &format!("{}.localhost", self.spec.slug), check).await
            }
            (None, Endpoint::Folder { path, single_page }) => {
                let (path, single, check) = (path.clone(), *single_page, check.clone());
                tokio::task::spawn_blocking(move || health::folder(&path, single, &check))
                    .await
                    .unwrap_or_else(|error| Err(error.to_string()))
            }
            (None, _) => Err("the local executor cannot ask such an endpoint".to_owned()),
        }
    }

    /// Runs the recipe's own check, with the environment of the release and confined as
    /// that is. What it says goes to the release's log.
    async fn command(&self, line: &BuildCommand) -> Answer {
        // One that took too long, before the next.
        self.end_command()
            .await
            .map_err(|error| error.to_string())?;
        let port = match self.endpoint {
            Endpoint::Http { address } => Some(address.port()),
            _ => None,
        };
        let (around, line, mark) = (self.around.clone(), line.clone(), self.command_mark());
        let run = blocking(move || {
            let log = process::open_log(&around.layout, around.number)?;
            around.shell(&line, port, &mark, log)
        });
        let mut child = run.await.map_err(|error| error.to_string())?;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        let text = |status: ExitStatus| format!("the health command ended with {status}");
        if status.success() {
            Ok(text(status))
        } else {
            Err(text(status))
        }
    }

    fn command_mark(&self) -> std::path::PathBuf {
        self.around
            .layout
            .base
            .join("health")
            .join(self.spec.number.to_string())
    }

    async fn end_command(&self) -> StepResult<()> {
        let mark = self.command_mark();
        blocking(move || kill_now(None, &mark)).await
    }

    async fn start_failed(&self, exit: &str, ctx: &StepContext) -> StepError {
        self.show_output(ctx).await;
        let number = self.spec.number;
        if let Endpoint::Http { address } = self.endpoint
            && !process::is_free(address.port())
        {
            let reason = format!(
                "it {exit}, and another process listens on {address}; \
                 the next attempt takes another port"
            );
            return Fault::retryable("start", format!("release {number}"), reason).into();
        }
        let message = format!(
            "the process of release {number} {exit} before it was healthy; its last output is \
             in the deployment's log. The start command must stay in the foreground, and may \
             write to `shared` and `writable` folders only"
        );
        StepError::verdict(VerdictCode::StartFailed, message)
    }

    async fn show_output(&self, ctx: &StepContext) {
        let (layout, number) = (self.around.layout.clone(), self.around.number);
        let known = self.run.as_ref();
        let known = known.map(|run| run.report.borrow().run.log_from);
        let tail = blocking(move || {
            let read = || RunFile::read(&layout, number).map(|run| run.log_from);
            let from = known.or_else(read).unwrap_or_default();
            Ok(output::tail(&layout.log(number), from))
        });
        let tail = tail.await.unwrap_or_default();
        ctx.log.write(LogStream::Stdout, &tail).await;
    }

    fn hint(&self) -> String {
        match (&self.spec.recipe.health.command, self.endpoint) {
            (Some(_), _) => "Run the health command by hand in the release's folder".to_owned(),
            (None, Endpoint::Http { address }) => format!(
                "The app must listen on 127.0.0.1 and the port in PORT ({}) and answer GET {}",
                address.port(),
                self.spec.recipe.health.path
            ),
            _ => "Set the health path to a file of the site, or the output folder to where it is"
                .to_owned(),
        }
    }
}
