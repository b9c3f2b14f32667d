//! The commands that a release brings along: confined as its process is, but for the
//! release itself, into which they may write.

use std::path::PathBuf;

use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::log::LogStream;
use deployr_core::value::{BuildCommand, RelPath};

use super::migrated::Migrated;
use super::proc::kill_now;
use super::spawn::Surroundings;
use super::{LocalExecutor, blocking, output, process};

impl LocalExecutor {
    /// What must be done before the release is started. What has been migrated is not again
    /// by another attempt of the deployment.
    pub(super) async fn make_ready(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let migrated = Migrated::new(&self.layout(&spec.slug), spec, ctx);
        for (what, line) in spec.recipe.on_target.before_start() {
            if what == "migrate" && migrated.is_noted().await? {
                continue;
            }
            self.run_command(what, line, spec, ctx).await?;
            if what == "migrate" {
                migrated.note().await?;
            }
        }
        Ok(())
    }

    /// What the release wants to be done once it is present; when it fails that is told.
    pub(super) async fn after_switch(&self, spec: &ReleaseSpec, ctx: &StepContext) {
        if let Some(line) = &spec.recipe.on_target.after_switch
            && let Err(error @ (StepError::Fault(_) | StepError::Verdict(_))) =
                self.run_command("after_switch", line, spec, ctx).await
        {
            ctx.log.say(format!("warning: {error}")).await;
        }
    }

    async fn run_command(
        &self,
        what: &str,
        line: &BuildCommand,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let around = self.surroundings(spec).with_its_own_folder();
        let mark = around.layout.base.join("command");
        // One that an engine has begun which was killed since.
        end(&mark).await?;
        let (line, of) = (line.clone(), mark.clone());
        let log = around.layout.log(spec.number);
        let from = log.clone();
        let begun = blocking(move || {
            let file = process::open_log(&around.layout, around.number)?;
            let from = std::fs::metadata(&from).map_or(0, |log| log.len());
            Ok((around.shell(&line, None, &of, file)?, from))
        });
        let (mut child, from) = begun.await?;
        let ended = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Err(StepError::Stopped),
            status = child.wait() => Ok(status),
        };
        end(&mark).await?;
        let tail = blocking(move || Ok(output::tail(&log, from))).await?;
        ctx.log.write(LogStream::Stdout, &tail).await;
        match ended? {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let message = format!(
                    "on_target.{what} ended with {status}; its output is in the deployment's log"
                );
                Err(StepError::verdict(VerdictCode::CommandFailed, message))
            }
            Err(error) => Err(deployr_core::error::Fault::io("run", what, error).into()),
        }
    }
}

async fn end(mark: &std::path::Path) -> StepResult<()> {
    let mark: PathBuf = mark.to_owned();
    blocking(move || kill_now(None, &mark)).await
}

impl Surroundings {
    /// The same where the whole release may be written to.
    fn with_its_own_folder(mut self) -> Self {
        self.writable = RelPath::parse(".").into_iter().collect();
        self
    }
}
