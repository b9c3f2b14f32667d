//! Finds out whether all replicas of a release are healthy, or one has ended.

use std::net::SocketAddr;
use std::time::Duration;

use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::log::LogStream;

use super::SwarmExecutor;
use super::tasks::Progress;
use crate::health::{self, Answer};

/// How much of what it said last is shown.
const LINES: usize = 50;
/// How often its tasks are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// One verification.
pub(super) struct Verify<'a> {
    pub(super) executor: &'a SwarmExecutor,
    pub(super) spec: &'a ReleaseSpec,
    pub(super) service: String,
    pub(super) address: SocketAddr,
}

impl Verify<'_> {
    pub(super) async fn run(&self, ctx: &StepContext) -> StepResult<()> {
        let (check, number) = (&self.spec.recipe.health, self.spec.number);
        let found = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            ended = self.ended() => return Err(self.start_failed(ended?, ctx).await),
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

    async fn progress(&self) -> StepResult<Progress> {
        let wanted = self.executor.replicas;
        self.executor.progress(&self.service, wanted).await
    }

    /// Waits until a task has ended, and says how.
    async fn ended(&self) -> StepResult<String> {
        loop {
            if let Progress::Ended { how, container } = self.progress().await? {
                return Ok(self.starved(container).await?.unwrap_or(how));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where a task was ended for want of memory, which its exit code does not tell.
    async fn starved(&self, container: Option<String>) -> StepResult<Option<String>> {
        let (Some(id), docker) = (container, &self.executor.docker) else {
            return Ok(None);
        };
        let found = docker.client().find_container(&id).await?;
        let state = found.and_then(|found| found.state);
        let starved = state.is_some_and(|state| state.oom_killed == Some(true));
        let limit = docker.run_limits().memory_bytes.filter(|_| starved);
        Ok(limit.map(|bytes| {
            let mib = bytes >> 20;
            format!("was ended for want of memory (it may use {mib} MiB)")
        }))
    }

    /// All replicas run, and so many answers in a row are good that each gave one: the mesh
    /// goes through them in turns. A health command is Swarm's own to run, which holds a task
    /// that it fails for not running yet.
    async fn probe(&self) -> Answer {
        match self.progress().await {
            Ok(Progress::Up) => {}
            Ok(Progress::Coming(what)) => return Err(what),
            Ok(Progress::Ended { how, .. }) => return Err(format!("a task {how}")),
            Err(error) => return Err(error.to_string()),
        }
        let (check, replicas) = (&self.spec.recipe.health, self.executor.replicas);
        if check.command.is_some() {
            return Ok(format!("{replicas} of {replicas} replicas"));
        }
        let host = format!("{}.localhost", self.spec.slug);
        for _ in 1..replicas {
            health::http(self.address, &host, check).await?;
        }
        health::http(self.address, &host, check).await
    }

    async fn start_failed(&self, how: String, ctx: &StepContext) -> StepError {
        self.show_output(ctx).await;
        let number = self.spec.number;
        let message = format!(
            "a task of release {number} {how} before it was healthy; its last output is in the \
             deployment's log. Its command must stay in the foreground, and may write to `shared` \
             and `writable` folders only, and to /tmp"
        );
        StepError::verdict(VerdictCode::StartFailed, message)
    }

    async fn show_output(&self, ctx: &StepContext) {
        let tail = self.executor.tail(&self.service, LINES).await;
        ctx.log.write(LogStream::Stdout, &tail).await;
    }

    fn hint(&self) -> String {
        let service = &self.service;
        match &self.spec.recipe.health.command {
            Some(_) => format!("Look at its tasks: docker service ps {service}"),
            None => format!(
                "The app must listen on 0.0.0.0 and the port in PORT and answer GET {}; \
                 `docker service ps {service}` shows where its tasks are",
                self.spec.recipe.health.path
            ),
        }
    }
}
