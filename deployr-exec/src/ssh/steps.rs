//! The steps of a deployment on all hosts of a target.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::{Command, PlannedStep};
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Turn};
use deployr_core::value::Slug;

use super::host::Host;
use super::job::Job;
use super::verify::Verify;
use super::{SshExecutor, plan};

#[async_trait]
impl Executor for SshExecutor {
    fn name(&self) -> &str {
        "ssh"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        let mut hosts = self.hosts.iter();
        ExecutorCapabilities {
            processes: hosts.all(|host| host.session.target().address.is_some()),
            side_by_side: true,
            // One after the other, though each in one step; taken back where one fails.
            atomic_switch: self.hosts.len() == 1,
            verifies: true,
        }
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        let targets: Vec<_> = self
            .hosts
            .iter()
            .map(|host| host.session.target())
            .collect();
        plan::plan(
            &targets,
            &self.before_switch,
            &self.after_switch,
            slug,
            recipe,
        )
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        go_on(ctx)?;
        let given = Arc::new((spec.clone(), artifact.clone(), ctx.clone()));
        self.on_all(move |host| {
            let given = Arc::clone(&given);
            async move { host.prepare(&given.0, &given.1, &given.2).await }
        })
        .await
        .map(drop)
    }

    /// Gives the first host's endpoint; the others' are found by the load balancer that
    /// stands in front of several.
    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        go_on(ctx)?;
        let given = Arc::new((spec.clone(), ctx.clone()));
        let endpoints = self
            .on_all(move |host| {
                let given = Arc::clone(&given);
                async move { host.start(&given.0, &given.1).await }
            })
            .await?;
        let first = endpoints.into_iter().next();
        first.ok_or_else(|| Fault::permanent("start", &spec.slug, "the target has no host").into())
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let given = Arc::new((spec.clone(), endpoint.clone(), ctx.clone()));
        let is_one = self.hosts.len() == 1;
        self.on_all(move |host| {
            let given = Arc::clone(&given);
            async move {
                let (spec, endpoint, ctx) = &*given;
                // Of several each has a port of its own; to start what is up tells it.
                let own = match is_one {
                    true => endpoint.clone(),
                    false => host.start(spec, ctx).await?,
                };
                Verify::new(&host, spec, &own).run(ctx).await
            }
        })
        .await
        .map(drop)
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        go_on(ctx)?;
        let given = Arc::new((spec.clone(), turn));
        if let [host] = &*self.hosts
            && self.before_switch.is_empty()
        {
            host.switch(spec, turn).await?;
            return self.follow_up(spec, turn, ctx).await;
        }
        // The barrier: nothing is changed until every host has said that it can.
        let asked = Arc::clone(&given);
        let before = self
            .on_all(move |host| {
                let asked = Arc::clone(&asked);
                async move { host.ready(&asked.0, asked.1).await }
            })
            .await?;
        // A way back must not fail for what was to happen on the way forward.
        if before.iter().any(|before| *before < Some(spec.number)) {
            self.run_hooks("before", &self.before_switch, spec, turn, ctx)
                .await?;
        }
        let given = Arc::clone(&given);
        let switched = self
            .each(move |host| {
                let given = Arc::clone(&given);
                async move { host.switch(&given.0, given.1).await }
            })
            .await;
        if let Some(error) = switched.into_iter().find_map(Result::err) {
            self.switch_back(spec, turn, &before, ctx).await;
            return Err(error);
        }
        self.follow_up(spec, turn, ctx).await
    }

    /// The release that is present on all hosts; none where they differ.
    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let slug = slug.clone();
        let present = self
            .on_all(move |host| {
                let slug = slug.clone();
                async move { host.current(&slug).await }
            })
            .await?;
        let first = present.first().copied().flatten();
        Ok(first.filter(|_| present.iter().all(|one| *one == first)))
    }

    async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        let slug = slug.clone();
        self.on_all(move |host| {
            let slug = slug.clone();
            async move { host.retire(&slug, number, grace).await }
        })
        .await
        .map(drop)
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        let slug = slug.clone();
        self.on_all(move |host| {
            let slug = slug.clone();
            async move { host.discard(&slug, number).await }
        })
        .await
        .map(drop)
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let given = Arc::new((slug.clone(), keep.to_owned()));
        let removed = self
            .on_all(move |host| {
                let given = Arc::clone(&given);
                async move { host.prune(&given.0, &given.1).await }
            })
            .await?;
        let mut removed = removed.concat();
        removed.sort_unstable();
        removed.dedup();
        Ok(removed)
    }
}

fn go_on(ctx: &StepContext) -> StepResult<()> {
    match ctx.cancel.is_cancelled() {
        true => Err(StepError::Stopped),
        false => Ok(()),
    }
}

impl SshExecutor {
    /// Does something on all hosts at the same time; the answers are in their order.
    async fn each<T, F, A>(&self, work: F) -> Vec<StepResult<T>>
    where
        T: Send + 'static,
        F: Fn(Arc<Host>) -> A,
        A: Future<Output = StepResult<T>> + Send + 'static,
    {
        let tasks: Vec<_> = self
            .hosts
            .iter()
            .map(|host| {
                tokio_util::task::AbortOnDropHandle::new(tokio::spawn(work(Arc::clone(host))))
            })
            .collect();
        let mut answers = Vec::new();
        for (task, host) in tasks.into_iter().zip(self.hosts.iter()) {
            let target = host.session.target();
            answers.push(
                task.await
                    .unwrap_or_else(|error| Err(Fault::retryable("finish", target, error).into())),
            );
        }
        answers
    }

    /// The same, where each must succeed.
    async fn on_all<T, F, A>(&self, work: F) -> StepResult<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(Arc<Host>) -> A,
        A: Future<Output = StepResult<T>> + Send + 'static,
    {
        self.each(work).await.into_iter().collect()
    }

    /// After a switch that not all hosts have made: as it was before, wherever it can be.
    async fn switch_back(
        &self,
        spec: &ReleaseSpec,
        turn: Turn,
        before: &[Option<i64>],
        ctx: &StepContext,
    ) {
        for (host, before) in self.hosts.iter().zip(before) {
            let back = host
                .switch_back(&spec.slug, spec.number, *before, turn)
                .await;
            if let Err(error) = back {
                let target = host.session.target();
                let say = format!("warning: {target} could not be switched back: {error}");
                ctx.log.say(say).await;
            }
        }
    }

    /// What comes after the switch. When it fails that is told, and the switch stays.
    async fn follow_up(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        match self
            .run_hooks("after", &self.after_switch, spec, turn, ctx)
            .await
        {
            Err(StepError::Stopped) | Ok(()) => {}
            Err(error) => ctx.log.say(format!("warning: {error}")).await,
        }
        Ok(())
    }

    async fn run_hooks(
        &self,
        when: &'static str,
        hooks: &[Command],
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<()> {
        for (at, command) in hooks.iter().enumerate() {
            // Without the attempt: another one goes on with what this one has begun.
            let name = format!("{}-{when}-{}-{at}", turn.deployment, spec.number);
            let given = Arc::new((spec.clone(), name, command.clone(), ctx.clone()));
            self.on_all(move |host| {
                let given = Arc::clone(&given);
                async move {
                    let (spec, name, command, ctx) = &*given;
                    let job = Job {
                        host: &host,
                        slug: spec.slug.as_str(),
                        number: spec.number,
                        name: name.clone(),
                        command,
                    };
                    match job.run(ctx).await? {
                        0 => Ok(()),
                        code => {
                            let reason = format!("it ended with {code}; its output is in the log");
                            Err(Fault::permanent("run", command, reason).into())
                        }
                    }
                }
            })
            .await?;
        }
        Ok(())
    }
}
