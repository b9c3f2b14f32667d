//! The steps of a deployment on all hosts of a target.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, Verdict};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Runtime, Turn};
use deployr_core::value::Slug;

use super::host::{self, Host};
use super::target::Role;
use super::verify::Verify;
use super::{SshExecutor, plan, workers};

#[async_trait]
impl Executor for SshExecutor {
    fn name(&self) -> &str {
        "ssh"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        let mut hosts = self.hosts.iter();
        ExecutorCapabilities {
            processes: hosts.all(|host| {
                let target = host.session.target();
                target.address.is_some() || !target.is_for(Role::Web)
            }),
            side_by_side: true,
            // One after the other, though each in one step; taken back where one fails.
            atomic_switch: self.hosts.len() == 1,
            verifies: true,
        }
    }

    fn accepts(&self, _: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        let mut targets = self.hosts.iter().map(|host| host.session.target());
        if !recipe.on_target.workers.is_empty() && !targets.any(|one| one.is_for(Role::Worker)) {
            return Err(workers::nowhere());
        }
        let by_web_server = self.php.is_some() && recipe.on_target.web_root.is_some();
        match recipe.runtime {
            Runtime::Static { .. } => Ok(()),
            Runtime::Process { .. } if by_web_server => Ok(()),
            Runtime::Process { .. } => {
                let targets = self.hosts.iter().map(|host| host.session.target());
                let mut web = targets.filter(|target| target.is_for(Role::Web));
                web.try_for_each(|target| host::address(target).map(drop))
            }
            _ => Err(host::no_containers()),
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
            self.php.is_some(),
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
        .await?;
        self.make_ready(spec, ctx).await
    }

    /// Gives the endpoint of the first host that answers requests; the others' are found by
    /// the load balancer that stands in front of several.
    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        go_on(ctx)?;
        let php = self.web_root(spec).is_some();
        let given = Arc::new((spec.clone(), ctx.clone()));
        let of_all = Arc::clone(&given);
        self.on_all(move |host| {
            let given = Arc::clone(&of_all);
            async move { host.start_workers(&given.0, &given.1).await }
        })
        .await?;
        let is_web = |host: &&Arc<Host>| host.session.target().is_for(Role::Web);
        let nobody = || Fault::permanent("start", &spec.slug, "the target has no host");
        if php || matches!(spec.recipe.runtime, Runtime::Static { .. }) {
            // Nothing is started: who has it not says so before the switch.
            let first = self.hosts.iter().find(is_web).ok_or_else(nobody)?;
            return first.start(spec, php, ctx).await;
        }
        let endpoints = self
            .on_all(move |host| {
                let given = Arc::clone(&given);
                async move { host.start(&given.0, php, &given.1).await }
            })
            .await?;
        let mut endpoints = self.hosts.iter().zip(endpoints);
        let first = endpoints.find(|(host, _)| is_web(host));
        Ok(first.map(|(_, endpoint)| endpoint).ok_or_else(nobody)?)
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let given = Arc::new((spec.clone(), endpoint.clone(), ctx.clone()));
        let (is_one, php) = (self.hosts.len() == 1, self.web_root(spec).is_some());
        self.on_all(move |host| {
            let given = Arc::clone(&given);
            async move {
                let (spec, endpoint, ctx) = &*given;
                if !host.session.target().is_for(Role::Web) {
                    return Ok(());
                }
                let own = match endpoint {
                    Endpoint::Served { path, .. } => Endpoint::Served {
                        path: path.clone(),
                        address: host.session.target().web_server,
                    },
                    one if is_one => one.clone(),
                    // Of several each has a port of its own; to start what is up tells it.
                    _ => host.start(spec, php, ctx).await?,
                };
                Verify::new(&host, spec, &own, php).run(ctx).await
            }
        })
        .await
        .map(drop)
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        go_on(ctx)?;
        self.switch_hosts(spec, turn, ctx).await
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

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.remove_project(slug, purge).await
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
    pub(super) async fn on_all<T, F, A>(&self, work: F) -> StepResult<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(Arc<Host>) -> A,
        A: Future<Output = StepResult<T>> + Send + 'static,
    {
        self.each(work).await.into_iter().collect()
    }
}
