//! The steps of a deployment, each from the parts that the other files have.

use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Runtime, Turn};
use deployr_core::value::Slug;

use super::ComposeExecutor;
use super::place;
use crate::local::blocking;
use crate::local::run::place as folder;
use crate::workers;

/// How long the containers of a release that is discarded have to end.
const DISCARD_GRACE: Duration = Duration::from_secs(1);

#[async_trait]
impl Executor for ComposeExecutor {
    fn name(&self) -> &str {
        "compose"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        self.docker.capabilities()
    }

    fn accepts(&self, slug: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        if !is_compose(recipe) {
            return self.docker.accepts(slug, recipe);
        }
        workers::refuse("Compose", recipe)?;
        match recipe.on_target.commands().next() {
            None => Ok(()),
            Some((name, line)) => {
                let message = format!(
                    "nothing is run but the services of the compose file, so `{line}` cannot be \
                     run as {name}; let a service do so before it serves, and take {name} out of \
                     [on_target] in deployr.toml"
                );
                Err(Verdict::new(VerdictCode::Unsupported, message))
            }
        }
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        let Runtime::Compose { service, .. } = &recipe.runtime else {
            return self.docker.plan(slug, recipe);
        };
        let service = service.as_deref().unwrap_or("the service with a port");
        [
            "resolve the compose file, and refuse what reaches beyond the project".to_owned(),
            "build and fetch the images of all services".to_owned(),
            "start what is kept (services with a volume or a port of the host), or change it \
             where the file has changed"
                .to_owned(),
            format!("start the other services of {slug} beside the present release"),
            format!("wait until {service} is healthy"),
            "switch to it, then stop the old generation".to_owned(),
        ]
        .map(PlannedStep::new)
        .into()
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        if !is_compose(&spec.recipe) {
            return self.docker.prepare(spec, artifact, ctx).await;
        }
        let (layout, number, release) = (self.docker.layout(&spec.slug), spec.number, spec.release);
        let there = layout.clone();
        if blocking(move || folder::claim(&there, number, release)).await?
            && let Ok(placed) = self.placed(spec).await
            && self.has_all(&placed).await?
        {
            return Ok(());
        }
        self.discard(&spec.slug, number).await?;
        let (placed, model) = self.make_images(spec, artifact, ctx).await?;
        let (from, to) = (place::folder(artifact)?, layout.release(number));
        let (of, artifact, attempt) = (spec.clone(), artifact.clone(), ctx.attempt);
        let cancel = ctx.cancel.clone();
        blocking(move || place::place(&layout, &of, &artifact, &placed, attempt, &cancel)).await?;
        self.resolved.keep(spec, model, &from, &to);
        Ok(())
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        if !is_compose(&spec.recipe) {
            return self.docker.start(spec, ctx).await;
        }
        let address = self.bring_up(spec, ctx).await?;
        if self.current(&spec.slug).await? == Some(spec.number) {
            self.restart_by_itself(&spec.slug, spec.number).await?;
        }
        let number = spec.number;
        ctx.log
            .say(format!("release {number} runs on {address}"))
            .await;
        Ok(Endpoint::Http { address })
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.docker.verify(spec, endpoint, ctx).await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        // Its entry is called as the container of any other release.
        self.docker.switch(spec, turn, ctx).await?;
        match is_compose(&spec.recipe) {
            true => self.restart_by_itself(&spec.slug, spec.number).await,
            false => Ok(()),
        }
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        self.docker.current(slug).await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        self.docker.retire(slug, number, grace).await?;
        self.remove_generation(slug, number, grace).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.retire(slug, number, DISCARD_GRACE).await?;
        self.docker.discard(slug, number).await?;
        self.remove_images(slug, number).await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let running = self.generations(slug).await?;
        let removed = self.docker.prune(slug, keep).await?;
        for number in &removed {
            self.remove_generation(slug, *number, DISCARD_GRACE).await?;
            self.remove_images(slug, *number).await?;
        }
        let present = self.current(slug).await?;
        for number in running {
            if keep.contains(&number) && present != Some(number) {
                self.retire(slug, number, DISCARD_GRACE).await?;
            }
        }
        Ok(removed)
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.remove_project(slug, purge).await
    }
}

impl ComposeExecutor {
    pub(super) async fn placed(&self, spec: &ReleaseSpec) -> StepResult<place::Placed> {
        let (layout, spec) = (self.docker.layout(&spec.slug), spec.clone());
        blocking(move || place::placed(&layout, &spec)).await
    }
}

fn is_compose(recipe: &Recipe) -> bool {
    matches!(recipe.runtime, Runtime::Compose { .. })
}
