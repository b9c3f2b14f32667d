use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::{Call, Faulty, Part};
use crate::builder::{Artifact, BuildSpec, Builder, Workspace};
use crate::command::PlannedStep;
use crate::context::StepContext;
use crate::error::{Fault, StepResult, Verdict};
use crate::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use crate::ingress::{Ingress, Route};
use crate::model::{ProjectId, ProjectSettings, Recipe, Turn};
use crate::notifier::{Notice, Notifier};
use crate::source::{Commit, Source, SourceProvider};
use crate::value::{CommitId, GitRef, GitUrl, InvalidValue, Slug};

#[async_trait]
impl<T: SourceProvider + ?Sized> SourceProvider for Faulty<T> {
    fn name(&self) -> &str {
        self.part.name()
    }

    async fn look_up(
        &self,
        source: &Source,
        wanted: Option<&GitRef>,
        ctx: &StepContext,
    ) -> StepResult<GitRef> {
        self.plan
            .call(
                Call::new(Part::Source, "look_up"),
                self.part.look_up(source, wanted, ctx),
            )
            .await
    }

    async fn resolve(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.plan
            .call(
                Call::new(Part::Source, "resolve"),
                self.part.resolve(source, reference, ctx),
            )
            .await
    }

    async fn checkout(
        &self,
        source: &Source,
        commit: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.plan
            .call(
                Call::new(Part::Source, "checkout"),
                self.part.checkout(source, commit, folder, ctx),
            )
            .await
    }

    async fn forget(&self, url: &GitUrl) -> StepResult<()> {
        let call = Call::new(Part::Source, "source.forget");
        self.plan.call(call, self.part.forget(url)).await
    }
}

#[async_trait]
impl<T: Builder + ?Sized> Builder for Faulty<T> {
    fn name(&self) -> &str {
        self.part.name()
    }

    fn check(&self, settings: &ProjectSettings) -> Result<(), InvalidValue> {
        self.part.check(settings)
    }

    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        self.part.plan(recipe)
    }

    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        self.plan
            .call(
                Call::new(Part::Builder, "builder.prepare"),
                self.part.prepare(ctx),
            )
            .await
    }

    async fn detect(
        &self,
        workspace: &Workspace,
        settings: &ProjectSettings,
    ) -> StepResult<Recipe> {
        self.plan
            .call(
                Call::new(Part::Builder, "detect"),
                self.part.detect(workspace, settings),
            )
            .await
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        self.plan
            .call(
                Call::new(Part::Builder, "build"),
                self.part.build(spec, ctx),
            )
            .await
    }

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        self.plan
            .call(
                Call::new(Part::Builder, "clean"),
                self.part.clean(workspace),
            )
            .await
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        let call = Call::new(Part::Builder, "builder.forget");
        self.plan.call(call, self.part.forget(project)).await
    }
}

#[async_trait]
impl<T: Executor + ?Sized> Executor for Faulty<T> {
    fn name(&self) -> &str {
        self.part.name()
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        self.part.capabilities()
    }

    fn accepts(&self, slug: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        self.part.accepts(slug, recipe)
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        self.part.plan(slug, recipe)
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.plan
            .call(
                Call::new(Part::Executor, "prepare"),
                self.part.prepare(spec, artifact, ctx),
            )
            .await
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        self.plan
            .call(
                Call::new(Part::Executor, "start"),
                self.part.start(spec, ctx),
            )
            .await
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.plan
            .call(
                Call::new(Part::Executor, "verify"),
                self.part.verify(spec, endpoint, ctx),
            )
            .await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        self.plan
            .call(
                Call::new(Part::Executor, "switch"),
                self.part.switch(spec, turn, ctx),
            )
            .await
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        self.plan
            .call(
                Call::new(Part::Executor, "current"),
                self.part.current(slug),
            )
            .await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        self.plan
            .call(
                Call::new(Part::Executor, "retire"),
                self.part.retire(slug, number, grace),
            )
            .await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.plan
            .call(
                Call::new(Part::Executor, "discard"),
                self.part.discard(slug, number),
            )
            .await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        self.plan
            .call(
                Call::new(Part::Executor, "prune"),
                self.part.prune(slug, keep),
            )
            .await
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let call = Call::new(Part::Executor, "executor.remove");
        self.plan.call(call, self.part.remove(slug, purge)).await
    }
}

#[async_trait]
impl<T: Ingress + ?Sized> Ingress for Faulty<T> {
    fn name(&self) -> &str {
        self.part.name()
    }

    fn url(&self, slug: &Slug) -> Option<String> {
        self.part.url(slug)
    }

    async fn route(&self, route: Route) -> StepResult<()> {
        self.plan
            .call(Call::new(Part::Ingress, "route"), self.part.route(route))
            .await
    }

    async fn drain(&self, slug: &Slug, limit: Duration) -> StepResult<usize> {
        self.plan
            .call(
                Call::new(Part::Ingress, "drain"),
                self.part.drain(slug, limit),
            )
            .await
    }

    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        self.plan
            .call(Call::new(Part::Ingress, "remove"), self.part.remove(slug))
            .await
    }

    async fn routes(&self) -> StepResult<Vec<Route>> {
        self.plan
            .call(Call::new(Part::Ingress, "routes"), self.part.routes())
            .await
    }
}

#[async_trait]
impl<T: Notifier + ?Sized> Notifier for Faulty<T> {
    fn name(&self) -> &str {
        self.part.name()
    }

    async fn notify(&self, notice: &Notice) -> Result<(), Fault> {
        let call = Call::new(Part::Notifier, "notify");
        self.plan.call(call, self.part.notify(notice)).await
    }
}
