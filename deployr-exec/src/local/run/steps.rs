//! The steps of a deployment, each from the parts that the other files have.

use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Runtime, Turn};
use deployr_core::value::Slug;

use super::layout::remove_all;
use super::process::{Launch, RunFile};
use super::verify::Verify;
use super::{LocalExecutor, blocking, link, place, plan, proc};
use crate::local::Confinement;
use crate::workers;

/// How long the processes of a release that is discarded have to end.
const DISCARD_GRACE: Duration = Duration::from_secs(1);

#[async_trait]
impl Executor for LocalExecutor {
    fn name(&self) -> &str {
        "local"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        ExecutorCapabilities {
            processes: true,
            side_by_side: true,
            atomic_switch: true,
            verifies: true,
        }
    }

    fn accepts(&self, _: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        match recipe.runtime {
            Runtime::Static { .. } | Runtime::Process { .. } => workers::refuse("local", recipe),
            _ => Err(no_containers()),
        }
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        plan::plan(&self.layout(slug), recipe)
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let layout = self.layout(&spec.slug);
        let (number, release) = (spec.number, spec.release);
        let there = layout.clone();
        if !blocking(move || place::claim(&there, number, release)).await? {
            self.discard(&spec.slug, number).await?;
            let (spec, artifact, ctx) = (spec.clone(), artifact.clone(), ctx.clone());
            blocking(move || place::place(&layout, &spec, &artifact, ctx.attempt, &ctx.cancel))
                .await?;
        }
        self.make_ready(spec, ctx).await
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let layout = self.layout(&spec.slug);
        let (number, release) = (spec.number, spec.release);
        let placed = layout.clone();
        blocking(move || place::check(&placed, number, release)).await?;
        let runs = matches!(spec.recipe.runtime, Runtime::Process { .. });
        if let Confinement::None { reason } = self.sandbox.confinement()
            && (runs || spec.recipe.health.command.is_some())
        {
            let say = format!("releases are not confined: {reason}");
            ctx.log.say(say).await;
        }
        match &spec.recipe.runtime {
            Runtime::Static { single_page } => Ok(Endpoint::Folder {
                path: layout.release(number),
                single_page: *single_page,
            }),
            Runtime::Process { start } => {
                let launch = Launch {
                    around: self.surroundings(spec),
                    line: start.clone(),
                };
                let endpoint = self.start_process(spec, launch).await?;
                if let Endpoint::Http { address } = endpoint {
                    ctx.log
                        .say(format!("release {number} runs on {address}"))
                        .await;
                }
                Ok(endpoint)
            }
            _ => Err(no_containers().into()),
        }
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        Verify {
            around: self.surroundings(spec),
            spec,
            endpoint,
            run: self.find(&spec.slug, spec.number),
        }
        .run(ctx)
        .await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let (layout, number, release) = (self.layout(&spec.slug), spec.number, spec.release);
        blocking(move || {
            let is_placed = || place::check(&layout, number, release);
            link::switch(&layout, number, turn, is_placed)
        })
        .await?;
        if let Some(run) = self.find(&spec.slug, number) {
            run.serve();
        }
        self.after_switch(spec, ctx).await;
        Ok(())
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let layout = self.layout(slug);
        blocking(move || link::current(&layout)).await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        let layout = self.layout(slug);
        blocking(move || link::check_not_present(&layout, number)).await?;
        self.stop(slug, number, grace).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        let layout = self.layout(slug);
        self.retire(slug, number, DISCARD_GRACE).await?;
        blocking(move || layout.remove_release(number, || link::check_not_present(&layout, number)))
            .await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let layout = self.layout(slug);
        let (numbers, present) = {
            let layout = layout.clone();
            blocking(move || Ok((layout.numbers()?, link::current(&layout)?))).await?
        };
        let newest = keep.iter().copied().chain(present).max();
        let mut removed = Vec::new();
        for number in numbers {
            let stays = keep.contains(&number) || present == Some(number);
            if !stays && Some(number) < newest {
                self.discard(slug, number).await?;
                removed.push(number);
            }
        }
        // Of those that stay only the present one may run. An engine that was going back to
        // another when it was killed for the last time has left that running, too.
        for number in keep.iter().copied().filter(|of| present != Some(*of)) {
            if layout.run(number).exists() {
                self.retire(slug, number, DISCARD_GRACE).await?;
            }
        }
        blocking(move || {
            layout
                .leftovers(|of| Some(of) <= newest)?
                .iter()
                .try_for_each(|path| layout.throw_away(path))
        })
        .await?;
        Ok(removed)
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.remove_project(slug, purge).await
    }
}

impl LocalExecutor {
    /// Stops a release, also the present one.
    pub(super) async fn stop(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        let layout = self.layout(slug);
        if let Some(run) = self.take(slug, number) {
            run.release().await;
            self.inner.ports.give_back(run.report.borrow().run.port);
        }
        let of = layout.clone();
        let has_run = blocking(move || Ok(of.has_run(number).then(|| RunFile::read(&of, number))));
        let Some(known) = has_run.await? else {
            return Ok(()); // spares a look at all processes of the host
        };
        let leader = known.map(|run| run.process);
        proc::stop(leader, &layout.release(number), grace).await?;
        // Not before: while it is there, an engine that follows on a crash goes on here.
        blocking(move || remove_all(&layout.run(number))).await
    }
}

fn no_containers() -> Verdict {
    let message = "the local executor runs no containers; choose a target that does";
    Verdict::new(VerdictCode::Unsupported, message)
}
