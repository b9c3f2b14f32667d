//! The steps of a deployment, each from the parts that the other files have.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Runtime, Turn};
use deployr_core::value::Slug;

use super::container::is_file;
use super::place::{self, Placed};
use super::plan::Becomes;
use super::verify::Verify;
use super::{DockerExecutor, plan};
use crate::framework::is_dockerfile;
use crate::local::blocking;
use crate::local::run::{link, place as folder};
use crate::workers;

/// How long the container of a release that is discarded has to end.
pub(super) const DISCARD_GRACE: Duration = Duration::from_secs(1);

#[async_trait]
impl Executor for DockerExecutor {
    fn name(&self) -> &str {
        "docker"
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
        workers::refuse("Docker", recipe)?;
        match recipe.runtime {
            Runtime::Static { .. } => check_files(recipe),
            Runtime::Process { .. } if !is_dockerfile(recipe) => self.needs_base().map(drop),
            Runtime::Image if recipe.on_target.prepare.is_some() => Err(Verdict::new(
                VerdictCode::Unsupported,
                "on_target.prepare is run in a container before its start command, and an image \
                 has a command of its own; let the Dockerfile do it",
            )),
            Runtime::Process { .. } | Runtime::Image => Ok(()),
            _ => Err(Verdict::new(
                VerdictCode::Unsupported,
                "a Docker target runs one container of a project; choose a `compose` target for \
                 the services of a compose file",
            )),
        }
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        match is_files(recipe) {
            true => self.files().plan(slug, recipe),
            false => {
                let becomes = Becomes {
                    start: "start a container of it beside the present one",
                    end: "stop the container of the release before",
                };
                plan::plan(slug, self.base(), recipe, &becomes)
            }
        }
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.accepts(&spec.slug, &spec.recipe)?;
        if is_files(&spec.recipe) {
            return self.files().prepare(spec, artifact, ctx).await;
        }
        stopping(ctx, self.place(spec, artifact, ctx)).await?;
        self.migrate(spec, ctx).await
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        if is_files(&spec.recipe) {
            return self.files().start(spec, ctx).await;
        }
        let start = async {
            let placed = self.placed(spec).await?;
            let instance = self.instance().await?;
            let address = self.start_container(&instance, spec, &placed).await?;
            if self.current(&spec.slug).await? == Some(spec.number) {
                let name = instance.container(&spec.slug, spec.number);
                self.restart_by_itself(&name, true).await?;
            }
            let number = spec.number;
            ctx.log
                .say(format!("release {number} runs on {address}"))
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
            return self.files().verify(spec, endpoint, ctx).await;
        };
        let instance = self.instance().await?;
        Verify {
            executor: self,
            spec,
            name: instance.container(&spec.slug, spec.number),
            address: *address,
            running: Default::default(),
        }
        .run(ctx)
        .await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        self.turn_to(spec, turn, ctx).await?;
        if !is_files(&spec.recipe) {
            let instance = self.instance().await?;
            let name = instance.container(&spec.slug, spec.number);
            self.restart_by_itself(&name, true).await?;
            self.after_switch(spec, ctx).await;
        }
        Ok(())
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let layout = self.layout(slug);
        blocking(move || link::current(&layout)).await
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        let layout = self.layout(slug);
        blocking(move || link::check_not_present(&layout, number)).await?;
        let name = self.instance().await?.container(slug, number);
        self.stop_container(&name, grace).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.retire(slug, number, DISCARD_GRACE).await?;
        let layout = self.layout(slug);
        blocking(move || {
            layout.remove_release(number, || link::check_not_present(&layout, number))
        })
        .await?;
        let instance = self.instance().await?;
        for container in self.containers(&instance, Some(slug)).await? {
            if container.number == number {
                self.client().remove_container(&container.id).await?;
            }
        }
        self.client()
            .remove_image(&instance.image(slug, number))
            .await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let layout = self.layout(slug);
        let (folders, present) = {
            let layout = layout.clone();
            blocking(move || Ok((layout.numbers()?, link::current(&layout)?))).await?
        };
        let instance = self.instance().await?;
        let containers = self.containers(&instance, Some(slug)).await?;
        let images = self.images(&instance, Some(slug)).await?;
        let newest = keep.iter().copied().chain(present).max();
        let numbers: BTreeSet<i64> = folders
            .into_iter()
            .chain(containers.iter().map(|container| container.number))
            .chain(images.into_iter().map(|(_, number)| number))
            .collect();
        let mut removed = Vec::new();
        for number in numbers {
            let stays = keep.contains(&number) || present == Some(number);
            if !stays && Some(number) < newest {
                self.discard(slug, number).await?;
                removed.push(number);
            }
        }
        // Of those that stay only the present one may run.
        for container in containers.iter().filter(|container| container.runs) {
            let number = container.number;
            if keep.contains(&number) && present != Some(number) {
                self.retire(slug, number, DISCARD_GRACE).await?;
            }
        }
        blocking(move || {
            let left = layout.leftovers(|of| Some(of) <= newest)?;
            left.iter().try_for_each(|path| layout.throw_away(path))
        })
        .await?;
        Ok(removed)
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.remove_project(slug, purge).await
    }
}

impl DockerExecutor {
    /// Lets the target know which release is the present one.
    pub(super) async fn turn_to(
        &self,
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<()> {
        if ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let (layout, number, release) = (self.layout(&spec.slug), spec.number, spec.release);
        blocking(move || {
            let is_placed = || folder::check(&layout, number, release);
            link::switch(&layout, number, turn, is_placed)
        })
        .await
    }

    async fn place(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let (layout, number, release) = (self.layout(&spec.slug), spec.number, spec.release);
        let of_folder = matches!(artifact.content, ArtifactContent::Folder(_));
        if of_folder && spec.recipe.runtime == Runtime::Image {
            return Err(StepError::verdict(
                VerdictCode::Unsupported,
                "the build made a folder, which has no command of its own; set `start`",
            ));
        }
        let there = layout.clone();
        if blocking(move || folder::claim(&there, number, release)).await?
            && let Ok(placed) = self.placed(spec).await
            && self.client().find_image(&placed.image).await?.is_some()
        {
            return Ok(());
        }
        self.discard(&spec.slug, number).await?;
        for path in spec.recipe.shared.iter().filter(|path| is_file(path)) {
            let say = format!("{path} is not shared: containers share folders only");
            ctx.log.say(say).await;
        }
        let instance = self.instance().await?;
        let image = self.make_image(&instance, spec, artifact).await?;
        let placed = Placed { image, of_folder };
        let (spec, artifact, attempt) = (spec.clone(), artifact.clone(), ctx.attempt);
        blocking(move || place::place(&layout, &spec, &artifact, &placed, attempt)).await
    }

    pub(super) async fn placed(&self, spec: &ReleaseSpec) -> StepResult<Placed> {
        let (layout, spec) = (self.layout(&spec.slug), spec.clone());
        blocking(move || place::placed(&layout, &spec)).await
    }
}

/// Files need no container: they are served by the ingress, as those of the local executor.
pub(super) fn is_files(recipe: &Recipe) -> bool {
    matches!(recipe.runtime, Runtime::Static { .. })
}

/// Nothing of a project on this target is run outside of a container.
fn check_files(recipe: &Recipe) -> Result<(), Verdict> {
    let on_target = &recipe.on_target;
    if on_target.before_start().next().is_some() || on_target.after_switch.is_some() {
        return Err(Verdict::new(
            VerdictCode::Unsupported,
            "commands of on_target run in containers, and files have none; set `start`, or take \
             them out",
        ));
    }
    match recipe.health.command {
        None => Ok(()),
        Some(_) => Err(Verdict::new(
            VerdictCode::Unsupported,
            "a health command runs in the release's container, and files have none; set a \
             health path instead",
        )),
    }
}

/// Work that ends where it is when it shall stop; what it has left is discarded.
pub(super) async fn stopping<T>(
    ctx: &StepContext,
    work: impl Future<Output = StepResult<T>>,
) -> StepResult<T> {
    tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => Err(StepError::Stopped),
        done = work => done,
    }
}
