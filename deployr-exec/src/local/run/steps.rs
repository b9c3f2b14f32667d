//! The steps of a deployment, each from the parts that the other files have.

use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Runtime};
use deployr_core::value::Slug;

use super::layout::{Layout, remove_all};
use super::process::{Launch, RunFile};
use super::verify::Verify;
use super::{LocalExecutor, blocking, link, place, plan, proc};

/// What a release that failed has for its end.
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
        let there = {
            let layout = layout.clone();
            blocking(move || {
                layout.create()?;
                for path in layout.leftovers(Some(number))? {
                    remove_all(&path)?;
                }
                if place::is_placed(&layout, number, release) {
                    return Ok(true);
                }
                if link::current(&layout)? == Some(number) {
                    let reason = "another release of this number is present there, as happens when \
                                  the store was made anew; give the engine another root";
                    let path = layout.release(number);
                    return Err(Fault::permanent("place", path.display(), reason).into());
                }
                Ok(false)
            })
        };
        if there.await? {
            return Ok(());
        }
        self.discard(&spec.slug, number).await?;
        let (spec, artifact, ctx) = (spec.clone(), artifact.clone(), ctx.clone());
        blocking(move || place::place(&layout, &spec, &artifact, ctx.attempt, &ctx.cancel)).await
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let layout = self.layout(&spec.slug);
        check_placed(&layout, spec).await?;
        let number = spec.number;
        match &spec.recipe.runtime {
            Runtime::Static { single_page } => Ok(Endpoint::Folder {
                path: layout.release(number),
                single_page: *single_page,
            }),
            Runtime::Process { start } => {
                let (line, env) = (start.clone(), spec.env.clone());
                let launch = Launch {
                    layout,
                    number,
                    line,
                    env,
                };
                let endpoint = self.start_process(spec, launch).await?;
                if let Endpoint::Http { address } = endpoint {
                    ctx.log
                        .say(format!("release {number} runs on {address}"))
                        .await;
                }
                Ok(endpoint)
            }
        }
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let layout = &self.layout(&spec.slug);
        let run = self.find(&spec.slug, spec.number);
        Verify {
            layout,
            spec,
            endpoint,
            run,
        }
        .run(ctx)
        .await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: i64, ctx: &StepContext) -> StepResult<()> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let (layout, number) = (self.layout(&spec.slug), spec.number);
        check_placed(&layout, spec).await?;
        blocking(move || link::switch(&layout, number, turn)).await?;
        if let Some(run) = self.find(&spec.slug, number) {
            run.serve();
        }
        Ok(())
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let layout = self.layout(slug);
        blocking(move || link::current(&layout)).await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        let layout = self.layout(slug);
        if let Some(run) = self.take(slug, number) {
            run.release().await;
            self.inner.ports.give_back(run.report.borrow().run.port);
        }
        let known = RunFile::read(&layout, number);
        let leader = known.map(|run| run.process);
        proc::stop(leader, &layout.release(number), grace).await?;
        // Not before: while it is there, an engine that follows on a crash goes on here.
        blocking(move || remove_all(&layout.run(number))).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        if self.current(slug).await? == Some(number) {
            let subject = format!("release {number} of {slug}");
            let reason = "it is the present one; switch to another release first";
            return Err(Fault::permanent("discard", subject, reason).into());
        }
        self.retire(slug, number, DISCARD_GRACE).await?;
        let layout = self.layout(slug);
        blocking(move || layout.remove_release(number)).await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let layout = self.layout(slug);
        let (numbers, present) = {
            let layout = layout.clone();
            blocking(move || Ok((layout.numbers()?, link::current(&layout)?))).await?
        };
        let mut removed = Vec::new();
        for number in numbers {
            if !keep.contains(&number) && present != Some(number) {
                self.discard(slug, number).await?;
                removed.push(number);
            }
        }
        blocking(move || {
            layout
                .leftovers(None)?
                .iter()
                .try_for_each(|path| remove_all(path))
        })
        .await?;
        Ok(removed)
    }
}

async fn check_placed(layout: &Layout, spec: &ReleaseSpec) -> StepResult<()> {
    let (layout, number, release) = (layout.clone(), spec.number, spec.release);
    blocking(move || {
        if place::is_placed(&layout, number, release) {
            return Ok(());
        }
        let path = layout.release(number);
        let message = format!(
            "release {number} is not in {}; deploy its commit again",
            path.display()
        );
        Err(StepError::verdict(VerdictCode::ReleaseGone, message))
    })
    .await
}
