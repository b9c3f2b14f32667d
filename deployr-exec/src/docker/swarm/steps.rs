//! The steps of a deployment, each from the parts that the other files have.

use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Turn};
use deployr_core::value::Slug;

use super::super::plan::{self, Becomes};
use super::super::steps::{DISCARD_GRACE, is_files, stopping};
use super::SwarmExecutor;
use super::verify::Verify;
use crate::local::blocking;
use crate::local::run::link;

#[async_trait]
impl Executor for SwarmExecutor {
    fn name(&self) -> &str {
        "swarm"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        self.docker.capabilities()
    }

    fn accepts(&self, slug: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        let on_target = &recipe.on_target;
        let unrun = on_target.commands().find(|(name, _)| *name != "prepare");
        if let (Some((name, line)), false) = (unrun, is_files(recipe)) {
            let message = format!(
                "a swarm runs nothing but the release, so `{line}` cannot be run as {name}; let \
                 the release do so, and set {name} to \"true\" under [on_target] in deployr.toml"
            );
            return Err(Verdict::new(VerdictCode::Unsupported, message));
        }
        self.docker.accepts(slug, recipe)
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        if is_files(recipe) {
            return self.docker.plan(slug, recipe);
        }
        let (replicas, mut place) = (self.replicas, String::new());
        if !self.constraints.is_empty() {
            place = format!(" where {}", self.constraints.join(" and "));
        }
        let start = format!("start a service with {replicas} of it{place}, beside the present one");
        let becomes = Becomes {
            start: &start,
            end: "remove the service of the release before",
        };
        plan::plan(slug, self.docker.base(), recipe, &becomes)
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.accepts(&spec.slug, &spec.recipe)?;
        if !is_files(&spec.recipe) {
            // What cannot be started need not be placed.
            self.check_mesh()?;
            stopping(ctx, self.node()).await?;
        }
        self.docker.prepare(spec, artifact, ctx).await
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        if is_files(&spec.recipe) {
            return self.docker.start(spec, ctx).await;
        }
        let start = async {
            let placed = self.docker.placed(spec).await?;
            let address = self.bring_up(spec, &placed).await?;
            let (number, replicas) = (spec.number, self.replicas);
            ctx.log
                .say(format!(
                    "release {number} runs on {address}, as {replicas} of the swarm's tasks"
                ))
                .await;
            Ok(Endpoint::Http { address })
        };
        stopping(ctx, start).await
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let Endpoint::Http { address } = endpoint else {
            return self.docker.verify(spec, endpoint, ctx).await;
        };
        let instance = self.docker.instance().await?;
        Verify {
            executor: self,
            spec,
            service: instance.service(&spec.slug, spec.number),
            address: *address,
        }
        .run(ctx)
        .await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        // Its tasks come up again by themselves from the start.
        self.docker.turn_to(spec, turn, ctx).await
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        self.docker.current(slug).await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        let layout = self.docker.layout(slug);
        blocking(move || link::check_not_present(&layout, number)).await?;
        self.remove_services(slug, number, grace).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.retire(slug, number, DISCARD_GRACE).await?;
        self.docker.discard(slug, number).await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let present = self.current(slug).await?;
        let newest = keep.iter().copied().chain(present).max();
        // First, as an image that is in use stays.
        for number in self.with_service(slug).await? {
            let stops = keep.contains(&number) || Some(number) < newest;
            if stops && present != Some(number) {
                self.retire(slug, number, DISCARD_GRACE).await?;
            }
        }
        self.docker.prune(slug, keep).await
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.remove_project(slug, purge).await
    }
}
