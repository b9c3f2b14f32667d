//! Parts in memory that take their time, so that something can happen meanwhile. What
//! becomes of a deployment is decided by its branch: `main` goes live, so does `slow`, whose
//! build takes several leases, the build of `bad` fails, and `sick` never becomes healthy.

use std::time::Duration;

use async_trait::async_trait;

use crate::builder::{Artifact, BuildSpec, Builder, Workspace};
use crate::command::PlannedStep;
use crate::context::StepContext;
use crate::error::{Fault, StepError, StepResult, VerdictCode};
use crate::ingress::{Ingress, Route};
use crate::log::LogStream;
use crate::model::{ProjectId, ProjectSettings, Recipe};
use crate::testing::{ScriptedBuilder, ScriptedIngress, ScriptedSource};
use crate::value::{BuildCommand, CommitId, HealthDeadline, HealthPath, Slug};

/// Lines that each build writes, to be found in the log: all, once, and in order.
pub(super) const LINES: usize = 6;
const PAUSE: Duration = Duration::from_millis(15);
/// Between the lines of a slow build.
const LONG_PAUSE: Duration = Duration::from_secs(6);
const SLOWLY: &str = "sleep";

fn commit(letter: &str) -> CommitId {
    CommitId::parse(letter.repeat(40)).unwrap()
}

pub(super) fn source() -> ScriptedSource {
    let source = ScriptedSource::new(commit("a"));
    source.set("bad", commit("b"));
    source.set("sick", commit("c"));
    source.set("slow", commit("d"));
    source
}

/// The text of one line of a build.
pub(super) fn line(attempt: i64, number: usize) -> String {
    format!("attempt {attempt} line {number}")
}

#[derive(Debug, Clone)]
pub(super) struct SlowBuilder(pub(super) ScriptedBuilder);

#[async_trait]
impl Builder for SlowBuilder {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        self.0.plan(recipe)
    }

    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        self.0.prepare(ctx).await
    }

    async fn detect(
        &self,
        workspace: &Workspace,
        settings: &ProjectSettings,
    ) -> StepResult<Recipe> {
        let mut recipe = self.0.detect(workspace, settings).await?;
        let file = workspace.checkout.join("COMMIT");
        let commit = std::fs::read_to_string(&file)
            .map_err(|error| Fault::io("read", file.display(), error))?;
        match commit.as_bytes().first() {
            Some(b'b') => recipe.commands = vec![BuildCommand::parse("false").unwrap()],
            Some(b'd') => recipe.commands = vec![BuildCommand::parse(SLOWLY).unwrap()],
            Some(b'c') => {
                recipe.health.path = HealthPath::parse("/not-there").unwrap();
                recipe.health.deadline_ms = HealthDeadline::new(2_000).unwrap();
            }
            _ => {}
        }
        Ok(recipe)
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        let command = spec.recipe.commands.first().map(BuildCommand::as_str);
        let pause = if command == Some(SLOWLY) {
            LONG_PAUSE
        } else {
            PAUSE
        };
        for number in 1..=LINES {
            let line = line(ctx.attempt, number) + "\n";
            ctx.log.write(LogStream::Stdout, line.as_bytes()).await;
            tokio::select! {
                biased;
                () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
                () = tokio::time::sleep(pause) => {}
            }
        }
        if command.is_some_and(|command| command != SLOWLY) {
            return Err(StepError::verdict(VerdictCode::BuildFailed, "exited 1"));
        }
        self.0.build(spec, ctx).await
    }

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        self.0.clean(workspace).await
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        self.0.forget(project).await
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct SlowIngress(pub(super) ScriptedIngress);

#[async_trait]
impl Ingress for SlowIngress {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn url(&self, slug: &Slug) -> Option<String> {
        self.0.url(slug)
    }

    async fn route(&self, route: Route) -> StepResult<()> {
        self.0.route(route).await?;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn drain(&self, slug: &Slug, limit: Duration) -> StepResult<usize> {
        tokio::time::sleep(PAUSE).await;
        self.0.drain(slug, limit).await
    }

    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        self.0.remove(slug).await
    }

    async fn routes(&self) -> StepResult<Vec<Route>> {
        self.0.routes().await
    }
}
