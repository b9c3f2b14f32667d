//! Parts of an engine that tell every secret they know, in the way that is asked for.

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::{Artifact, BuildSpec, Builder, Workspace};
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::log::LogStream;
use deployr_core::model::{ProjectId, ProjectSettings, Recipe, Turn};
use deployr_core::notifier::{Notice, Notifier};
use deployr_core::source::{Commit, CredentialProvider, Credentials, Source, SourceProvider};
use deployr_core::testing::{ScriptedBuilder, ScriptedExecutor, ScriptedIngress, ScriptedSource};
use deployr_core::value::{CommitId, GitRef, GitUrl, Slug};

use crate::canary::{PASSWORD, blurt, blurt_without_password};

/// How a call tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Log,
    Verdict,
    Fault,
    FaultThatMayPass,
    Panic,
}

/// All parts in one; a clone is the same.
#[derive(Clone)]
pub(crate) struct Leaky {
    source: ScriptedSource,
    builder: ScriptedBuilder,
    executor: ScriptedExecutor,
    ingress: ScriptedIngress,
    /// By the call's name.
    leaks: Arc<Mutex<HashMap<&'static str, Way>>>,
    leaked: Arc<Mutex<Vec<&'static str>>>,
    /// The `Debug` form of everything that the parts were given.
    pub(crate) given: Arc<Mutex<Vec<String>>>,
}

impl Leaky {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            source: ScriptedSource::new(CommitId::parse("a".repeat(40)).unwrap()),
            builder: ScriptedBuilder::new(root),
            executor: ScriptedExecutor::default(),
            ingress: ScriptedIngress::default(),
            leaks: Arc::default(),
            leaked: Arc::default(),
            given: Arc::default(),
        }
    }

    pub(crate) fn tell(&self, call: &'static str, way: Way) {
        self.leaks.lock().unwrap().insert(call, way);
    }

    /// Which calls have told something since; they tell nothing more.
    pub(crate) fn hush(&self) -> Vec<&'static str> {
        self.leaks.lock().unwrap().clear();
        std::mem::take(&mut self.leaked.lock().unwrap())
    }

    fn given(&self, value: &impl Debug) {
        self.given.lock().unwrap().push(format!("{value:?}"));
    }

    async fn leak(&self, call: &'static str, ctx: Option<&StepContext>) -> StepResult<()> {
        self.leak_text(call, ctx, blurt()).await
    }

    /// A call that is not given the repository's password.
    async fn leak_of_removal(&self, call: &'static str) -> StepResult<()> {
        self.leak_text(call, None, blurt_without_password()).await
    }

    async fn leak_text(
        &self,
        call: &'static str,
        ctx: Option<&StepContext>,
        text: &str,
    ) -> StepResult<()> {
        let way = self.leaks.lock().unwrap().get(call).copied();
        let Some(way) = way else { return Ok(()) };
        self.leaked.lock().unwrap().push(call);
        let fault = Fault::permanent("leaking", text, text).because(text.to_owned());
        match (way, ctx) {
            (Way::Verdict, _) => Err(StepError::verdict(VerdictCode::BuildFailed, text)),
            (Way::Fault, _) => Err(fault.into()),
            (Way::FaultThatMayPass, _) => Err(Fault {
                retryable: true,
                ..fault
            }
            .into()),
            (Way::Panic, _) => panic!("{text}"),
            (Way::Log, None) => Ok(()),
            (Way::Log, Some(ctx)) => {
                ctx.log.say(text).await;
                for chunk in text.as_bytes().chunks(7) {
                    ctx.log.write(LogStream::Stdout, chunk).await;
                    ctx.log.write(LogStream::Stderr, chunk).await;
                }
                Ok(())
            }
        }
    }
}

#[async_trait]
impl CredentialProvider for Leaky {
    async fn credentials(&self, _: &GitUrl) -> StepResult<Option<Credentials>> {
        // Its own secret, which nobody else has heard of yet, a provider must keep itself.
        self.leak_text("credentials", None, blurt_without_password())
            .await?;
        Ok(Some(Credentials::Password {
            user: "x-access-token".to_owned(),
            password: PASSWORD.into(),
        }))
    }
}

#[async_trait]
impl SourceProvider for Leaky {
    fn name(&self) -> &str {
        "leaky"
    }

    async fn resolve(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.given(source);
        self.given(ctx);
        self.leak("resolve", Some(ctx)).await?;
        self.source.resolve(source, reference, ctx).await
    }

    async fn checkout(
        &self,
        source: &Source,
        id: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.leak("checkout", Some(ctx)).await?;
        let commit = self.source.checkout(source, id, folder, ctx).await?;
        Ok(Commit {
            summary: blurt().to_owned(),
            ..commit
        })
    }

    async fn forget(&self, url: &GitUrl) -> StepResult<()> {
        self.leak_of_removal("forget the source").await?;
        self.source.forget(url).await
    }
}

#[async_trait]
impl Builder for Leaky {
    fn name(&self) -> &str {
        "leaky"
    }

    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        self.builder.plan(recipe)
    }

    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        self.leak("prepare", Some(ctx)).await?;
        self.builder.prepare(ctx).await
    }

    async fn detect(
        &self,
        workspace: &Workspace,
        settings: &ProjectSettings,
    ) -> StepResult<Recipe> {
        self.leak("detect", None).await?;
        self.builder.detect(workspace, settings).await
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        self.given(spec);
        self.leak("build", Some(ctx)).await?;
        self.builder.build(spec, ctx).await
    }

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        self.leak("clean", None).await?;
        self.builder.clean(workspace).await
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        self.leak_of_removal("forget the builds").await?;
        self.builder.forget(project).await
    }
}

#[async_trait]
impl Executor for Leaky {
    fn name(&self) -> &str {
        "leaky"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        self.executor.capabilities()
    }

    fn accepts(&self, slug: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        self.executor.accepts(slug, recipe)
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        self.executor.plan(slug, recipe)
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.given(spec);
        self.leak("place", Some(ctx)).await?;
        self.executor.prepare(spec, artifact, ctx).await
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        self.given(spec);
        // Called at a restart too, when the repository is of no concern.
        self.leak_text("start", Some(ctx), blurt_without_password())
            .await?;
        self.executor.start(spec, ctx).await
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.leak("verify", Some(ctx)).await?;
        self.executor.verify(spec, endpoint, ctx).await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        self.leak("switch", Some(ctx)).await?;
        self.executor.switch(spec, turn, ctx).await
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        self.executor.current(slug).await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        self.leak("retire", None).await?;
        self.executor.retire(slug, number, grace).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.leak("discard", None).await?;
        self.executor.discard(slug, number).await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        self.leak("prune", None).await?;
        self.executor.prune(slug, keep).await
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.leak_of_removal("remove").await?;
        self.executor.remove(slug, purge).await
    }
}

#[async_trait]
impl Ingress for Leaky {
    fn name(&self) -> &str {
        "leaky"
    }

    fn url(&self, slug: &Slug) -> Option<String> {
        self.ingress.url(slug)
    }

    async fn route(&self, route: Route) -> StepResult<()> {
        self.leak("route", None).await?;
        self.ingress.route(route).await
    }

    async fn drain(&self, slug: &Slug, limit: Duration) -> StepResult<usize> {
        self.leak("drain", None).await?;
        self.ingress.drain(slug, limit).await
    }

    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        self.leak_of_removal("unroute").await?;
        self.ingress.remove(slug).await
    }

    async fn routes(&self) -> StepResult<Vec<Route>> {
        self.ingress.routes().await
    }
}

#[async_trait]
impl Notifier for Leaky {
    fn name(&self) -> &str {
        "leaky"
    }

    async fn notify(&self, notice: &Notice) -> Result<(), Fault> {
        self.given(notice);
        Ok(())
    }
}
