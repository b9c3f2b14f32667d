//! An engine over parts in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::context::StepContext;
use deployr_core::engine::{DeployRequest, Engine, EngineBuilder, Event, ProjectRequest};
use deployr_core::error::{StepError, StepResult};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::log::LogStream;
use deployr_core::model::{Actor, Deployment, DeploymentId, Project};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::source::{Commit, Source, SourceProvider};
use deployr_core::system::{Clock, SystemClock};
use deployr_core::testing::{
    ManualClock, MemoryStore, RecordingNotifier, ScriptedBuilder, ScriptedExecutor,
    ScriptedIngress, ScriptedSource,
};
use deployr_core::value::{CommitId, GitRef, GitUrl, Slug, TenantId};
use deployr_core::worker::Worker;

pub(crate) struct Bench {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) source: ScriptedSource,
    pub(crate) builder: ScriptedBuilder,
    pub(crate) executor: ScriptedExecutor,
    pub(crate) ingress: ScriptedIngress,
    pub(crate) notifier: RecordingNotifier,
    pub(crate) me: Actor,
}

pub(crate) fn commit(letter: &str) -> CommitId {
    CommitId::parse(letter.repeat(40)).unwrap()
}

impl Bench {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        Self {
            store: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            source: ScriptedSource::new(commit("a")),
            builder: ScriptedBuilder::default(),
            executor: ScriptedExecutor::default(),
            ingress: ScriptedIngress::default(),
            notifier: RecordingNotifier::default(),
            me: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.parts().build().unwrap()
    }

    pub(crate) fn engine_with(
        &self,
        source: Arc<dyn SourceProvider>,
        ingress: Arc<dyn Ingress>,
    ) -> Engine {
        let parts = self.parts().source(source).ingress(ingress);
        parts.build().unwrap()
    }

    /// All that an engine needs, to be put together otherwise.
    pub(crate) fn parts(&self) -> EngineBuilder {
        Engine::builder()
            .store(self.store.clone())
            .source(Arc::new(self.source.clone()))
            .builder(Arc::new(self.builder.clone()))
            .executor("local", Arc::new(self.executor.clone()))
            .ingress(Arc::new(self.ingress.clone()))
            .notifier(Arc::new(self.notifier.clone()))
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
    }

    /// Lets the store's time pass until the work is done.
    pub(crate) async fn while_time_passes<T>(&self, work: impl Future<Output = T>) -> T {
        let pushed = async {
            loop {
                self.clock.advance(Duration::from_millis(50));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = pushed => unreachable!(),
        }
    }

    pub(crate) async fn project(&self, engine: &Engine) -> Project {
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        engine
            .create_project(&self.me, ProjectRequest::new("Blog", url).unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn ask(&self, engine: &Engine, project: &Project) -> Deployment {
        let asked = engine.deploy(&self.me, project.id, DeployRequest::latest());
        asked.await.unwrap()
    }

    pub(crate) async fn deploy(&self, engine: &Engine, project: &Project) -> Deployment {
        let asked = self.ask(engine, project).await;
        self.end_of(engine, asked.id).await
    }

    pub(crate) async fn end_of(&self, engine: &Engine, id: DeploymentId) -> Deployment {
        let (_, deployment) = self.follow(engine, id, 0).await;
        deployment
    }

    pub(crate) async fn follow(
        &self,
        engine: &Engine,
        id: DeploymentId,
        cursor: i64,
    ) -> (Vec<String>, Deployment) {
        let mut events = engine.follow(&self.me, id, cursor).await.unwrap();
        let mut lines = Vec::new();
        loop {
            let event = events.try_next();
            match tokio::time::timeout(Duration::from_secs(20), event)
                .await
                .expect("an end")
                .unwrap()
            {
                Some(Event::Line(line)) => lines.push(match line.stream {
                    LogStream::Stage => format!("== {}", line.text),
                    _ => line.text,
                }),
                Some(Event::Finished(deployment)) => return (lines, *deployment),
                None => panic!("the stream ended without an end"),
            }
        }
    }

    /// Waits until the deployment is as wanted.
    pub(crate) async fn until(
        &self,
        engine: &Engine,
        id: DeploymentId,
        wanted: impl Fn(&Deployment) -> bool,
    ) -> Deployment {
        let look = async {
            loop {
                let deployment = engine.deployment(&self.me, id).await.unwrap();
                if wanted(&deployment) {
                    return deployment;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look)
            .await
            .expect("in time")
    }
}

pub(crate) fn slug() -> Slug {
    Slug::parse("blog").unwrap()
}

pub(crate) fn worker(engine: &Engine) -> Worker {
    let quick = Duration::from_millis(20);
    engine
        .worker()
        .poll(quick)
        .sweep(quick)
        .lease(Duration::from_secs(2))
        .spawn()
}

/// A source that hangs until it is told to stop.
pub(crate) struct Hanging;

#[async_trait]
impl SourceProvider for Hanging {
    fn name(&self) -> &str {
        "hanging"
    }

    async fn resolve(&self, _: &Source, _: &GitRef, ctx: &StepContext) -> StepResult<Commit> {
        ctx.cancel.cancelled().await;
        Err(StepError::Stopped)
    }

    async fn checkout(
        &self,
        _: &Source,
        _: &CommitId,
        _: &std::path::Path,
        _: &StepContext,
    ) -> StepResult<Commit> {
        unreachable!("resolve never succeeds")
    }

    async fn forget(&self, _: &GitUrl) -> StepResult<()> {
        Ok(())
    }
}

/// An ingress whose drain never ends: the process "dies" after the switch.
pub(crate) struct NeverDrains(pub(crate) ScriptedIngress);

#[async_trait]
impl Ingress for NeverDrains {
    fn name(&self) -> &str {
        "never drains"
    }
    fn url(&self, slug: &Slug) -> Option<String> {
        self.0.url(slug)
    }
    async fn route(&self, route: Route) -> StepResult<()> {
        self.0.route(route).await
    }
    async fn drain(&self, _: &Slug, _: Duration) -> StepResult<usize> {
        std::future::pending().await
    }
    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        self.0.remove(slug).await
    }
    async fn routes(&self) -> StepResult<Vec<Route>> {
        self.0.routes().await
    }
}
