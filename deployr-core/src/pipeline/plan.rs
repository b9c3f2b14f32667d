//! What a deployment would do, without doing it.

use tokio_util::sync::CancellationToken;

use crate::builder::Workspace;
use crate::command::PlannedStep;
use crate::context::StepContext;
use crate::engine::{Engine, EngineError, Inner, Plan, redacted, redacted_fault};
use crate::error::StepResult;
use crate::log::LogWriter;
use crate::model::{Actor, DeploymentId, Project, ProjectId, Recipe};
use crate::source::{Commit, Source};
use crate::value::GitRef;

impl Engine {
    /// What a deployment of `reference` would do, without doing any of it: fetches and
    /// reads the source, runs nothing, and changes nothing on the target.
    ///
    /// # Errors
    ///
    /// As for a deployment, before anything was written.
    pub async fn plan(
        &self,
        actor: &Actor,
        project: ProjectId,
        reference: Option<GitRef>,
    ) -> Result<Plan, EngineError> {
        let inner = self.inner();
        let project = inner.store.project(&actor.tenant, project).await?;
        let executor = inner.executor(&project.settings.target)?;
        let builder = inner.builder_for(&project.settings.target);
        let env = inner.store.env(&actor.tenant, project.id).await?;
        let env = inner.open_env(&project, env)?;
        let source = inner.source_of(&project).await.map_err(|fault| {
            let redactor = inner.redactor(&project, &env, None, &[]);
            redacted_fault(&fault, &redactor)
        })?;
        let reference =
            reference.unwrap_or_else(|| GitRef::Branch(project.settings.branch.clone()));
        let ctx = StepContext {
            deployment: DeploymentId::new(inner.clock.now(), &*inner.entropy),
            attempt: 0,
            cancel: CancellationToken::new(),
            handed_over: CancellationToken::new(),
            log: LogWriter::discard(),
        };
        let read = async {
            let workspace = builder.prepare(&ctx).await?;
            let read = inner
                .read(&project, &source, &reference, &workspace, &ctx)
                .await;
            builder.clean(&workspace).await?;
            let (commit, recipe) = read?;
            executor.accepts(&project.slug, &recipe)?;
            Ok((commit, recipe))
        };
        let (commit, recipe) = read.await.map_err(|error| {
            redacted(error, &inner.redactor(&project, &env, Some(&source), &[]))
        })?;
        let mut steps = builder.plan(&recipe);
        steps.extend(executor.plan(&project.slug, &recipe));
        if let Some(url) = inner
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.url(&project.slug))
        {
            steps.push(PlannedStep::new(format!(
                "send the requests for {url} to the new release"
            )));
        }
        Ok(Plan {
            commit: commit.id,
            zero_downtime: executor.capabilities().zero_downtime(),
            recipe,
            steps,
        })
    }
}

impl Inner {
    async fn read(
        &self,
        project: &Project,
        source: &Source,
        reference: &GitRef,
        workspace: &Workspace,
        ctx: &StepContext,
    ) -> StepResult<(Commit, Recipe)> {
        let commit = self.source.resolve(source, reference, ctx).await?;
        let commit = self
            .source
            .checkout(source, &commit.id, &workspace.checkout, ctx)
            .await?;
        let builder = self.builder_for(&project.settings.target);
        let recipe = builder.detect(workspace, &project.settings).await?;
        Ok((commit, recipe))
    }
}
