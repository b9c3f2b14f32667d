//! The commands that a release brings along, each in a container of its image that ends
//! with it: what it migrates before anything of it is started, and what follows its switch.

use bollard::container::LogOutput;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{LogsOptions, WaitContainerOptions};
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::log::LogStream;
use deployr_core::value::BuildCommand;
use futures::StreamExt;

use super::DockerExecutor;
use super::naming::Instance;
use super::run::is_running;
use crate::local::run::migrated::Migrated;

impl DockerExecutor {
    /// Once for a deployment: another attempt waits for what this one has begun, and does
    /// not begin again what has ended well.
    pub(super) async fn migrate(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let Some(line) = &spec.recipe.on_target.migrate else {
            return Ok(());
        };
        let migrated = Migrated::new(&self.layout(&spec.slug), spec, ctx);
        if migrated.is_noted().await? {
            return Ok(());
        }
        let name = format!("migrate-{}-{}", ctx.deployment, spec.commit);
        let note = async || migrated.note().await;
        self.run_in_container("migrate", &name, line, spec, ctx, note)
            .await
    }

    /// What the release wants to be done once it is present; when it fails that is told.
    pub(super) async fn after_switch(&self, spec: &ReleaseSpec, ctx: &StepContext) {
        let Some(line) = &spec.recipe.on_target.after_switch else {
            return;
        };
        // Ends in no number, as the containers of releases do, of whatever project.
        let name = format!("{}-switched", spec.number);
        let done = self.run_in_container("after_switch", &name, line, spec, ctx, async || Ok(()));
        if let Err(error @ (StepError::Fault(_) | StepError::Verdict(_))) = done.await {
            ctx.log.say(format!("warning: {error}")).await;
        }
    }

    /// When it has ended well that is noted, and only then the container is removed: one of
    /// both tells the next attempt.
    async fn run_in_container(
        &self,
        what: &'static str,
        name: &str,
        line: &BuildCommand,
        spec: &ReleaseSpec,
        ctx: &StepContext,
        note: impl AsyncFnOnce() -> StepResult<()>,
    ) -> StepResult<()> {
        let instance = self.instance().await?;
        let name = format!("{}-{}-{name}", instance.network(), spec.slug);
        let run = self.begin_and_wait(&instance, &name, line, spec, ctx);
        let ended = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(StepError::Stopped),
            ended = run => ended,
        };
        if matches!(ended, Ok(0)) {
            note().await?;
        }
        let is_left = what == "migrate" && ctx.handed_over.is_cancelled();
        if is_left && matches!(ended, Err(StepError::Stopped)) {
            return ended.map(drop);
        }
        // Not where the engine is away: the next attempt finds it again.
        if !matches!(&ended, Err(StepError::Fault(fault)) if fault.retryable) {
            self.client().remove_container(&name).await?;
        }
        match ended? {
            0 => Ok(()),
            code => {
                let message = format!(
                    "on_target.{what} exited {code}; its output is in the deployment's log"
                );
                Err(StepError::verdict(VerdictCode::CommandFailed, message))
            }
        }
    }

    async fn begin_and_wait(
        &self,
        instance: &Instance,
        name: &str,
        line: &BuildCommand,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<i64> {
        let client = self.client();
        let docker = client.patient_docker().await?;
        let found = match client.find_container(name).await? {
            Some(found) => found,
            None => {
                let placed = self.placed(spec).await?;
                self.create_container(instance, spec, &placed, name, Some(line.as_str()))
                    .await?
            }
        };
        if !is_running(&found) && never_ran(&found) {
            let started = docker.start_container(name, None).await;
            client.step("starting", name, started)?;
        }
        let mut said = docker.logs(name, Some(from_the_beginning()));
        while let Some(piece) = said.next().await {
            let piece = client.step("listening to", name, piece)?;
            let stream = match &piece {
                LogOutput::StdErr { .. } => LogStream::Stderr,
                _ => LogStream::Stdout,
            };
            ctx.log.write(stream, &piece.into_bytes()).await;
        }
        let options = WaitContainerOptions {
            condition: "not-running".to_owned(),
        };
        // How it ended is asked of the container; this only waits for its end.
        let _ = docker.wait_container(name, Some(options)).next().await;
        let ended = client.find_container(name).await?;
        // Of one that runs the engine says 0, too.
        if ended.as_ref().is_some_and(is_running) {
            let reason = "the engine stopped telling of it before it ended";
            return Err(Fault::retryable("waiting for", name, reason).into());
        }
        let code = ended.and_then(|found| found.state?.exit_code);
        code.ok_or_else(|| {
            let reason = "somebody has removed its container; see how far it has come, then \
                          deploy again";
            Fault::permanent("running", name, reason).into()
        })
    }
}

fn never_ran(found: &ContainerInspectResponse) -> bool {
    let state = found.state.as_ref();
    let status = state.and_then(|state| state.status);
    status.is_none_or(|status| status.to_string() == "created")
}

fn from_the_beginning() -> LogsOptions {
    LogsOptions {
        follow: true,
        stdout: true,
        stderr: true,
        tail: "all".to_owned(),
        ..LogsOptions::default()
    }
}
