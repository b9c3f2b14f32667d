use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{ExecutorHarness, Serves, Site};
use crate::context::StepContext;
use crate::error::StepResult;
use crate::executor::{Endpoint, Executor, ReleaseSpec};
use crate::log::LogWriter;
use crate::model::{DeploymentId, ProjectId, ReleaseId, Turn};
use crate::system::Clock;
use crate::testing::{ManualClock, SeededEntropy};
use crate::value::{CommitId, EnvSet, Slug};

/// For a process to end.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A target on the bench, and short words for what checks do with it.
pub(super) struct Bench {
    pub(super) harness: Arc<dyn ExecutorHarness>,
    serves: Serves,
    clock: ManualClock,
    entropy: SeededEntropy,
    attempt: AtomicI64,
    started: Mutex<Vec<(Slug, i64)>>,
}

/// One release, and what to place for it.
#[derive(Clone)]
pub(super) struct Rel {
    pub(super) spec: ReleaseSpec,
    pub(super) site: Site,
}

/// The steps of a deployment, in order.
pub(super) const STEPS: usize = 4;

impl Bench {
    pub(super) fn new(harness: Arc<dyn ExecutorHarness>, serves: Serves) -> Self {
        Self {
            harness,
            serves,
            clock: ManualClock::default(),
            entropy: SeededEntropy::new(3),
            attempt: AtomicI64::new(0),
            started: Mutex::default(),
        }
    }

    pub(super) async fn executor(&self) -> Arc<dyn Executor> {
        self.harness.executor().await
    }

    /// A context of a later attempt than all before.
    pub(super) fn context(&self) -> StepContext {
        StepContext {
            deployment: DeploymentId::new(self.clock.now(), &self.entropy),
            attempt: self.attempt.fetch_add(1, Ordering::Relaxed) + 1,
            cancel: CancellationToken::new(),
            handed_over: Default::default(),
            log: LogWriter::discard(),
        }
    }

    /// Release `number` of a project; it says `<slug> <number>`.
    pub(super) async fn release(&self, slug: &Slug, number: i64) -> Rel {
        let site = self.harness.site(self.serves, &says(slug, number)).await;
        let spec = ReleaseSpec {
            project: ProjectId::new(self.clock.now(), &self.entropy),
            slug: slug.clone(),
            release: ReleaseId::new(self.clock.now(), &self.entropy),
            number,
            commit: CommitId::parse("0123456789abcdef0123456789abcdef01234567").unwrap(),
            recipe: site.recipe.clone(),
            env: EnvSet::default(),
        };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.push((slug.clone(), number));
        Rel { spec, site }
    }

    /// The first `steps` steps of a deployment, in order. Gives the endpoint.
    pub(super) async fn steps(
        &self,
        executor: &dyn Executor,
        rel: &Rel,
        turn: i64,
        steps: usize,
    ) -> StepResult<Option<Endpoint>> {
        let (spec, ctx) = (&rel.spec, &self.context());
        if steps >= 1 {
            executor.prepare(spec, &rel.site.artifact, ctx).await?;
        }
        if steps < 2 {
            return Ok(None);
        }
        let endpoint = executor.start(spec, ctx).await?;
        if steps >= 3 {
            executor.verify(spec, &endpoint, ctx).await?;
        }
        if steps >= 4 {
            executor.switch(spec, Turn::new(turn, 1), ctx).await?;
        }
        Ok(Some(endpoint))
    }

    /// A deployment of a fresh release, to the end.
    pub(super) async fn go_live(
        &self,
        executor: &dyn Executor,
        slug: &Slug,
        number: i64,
    ) -> (Rel, Endpoint) {
        let rel = self.release(slug, number).await;
        let endpoint = self.steps(executor, &rel, number, STEPS).await.unwrap();
        (rel, endpoint.unwrap())
    }

    /// Places releases without switching to them.
    pub(super) async fn place(&self, executor: &dyn Executor, slug: &Slug, number: i64) -> Rel {
        let rel = self.release(slug, number).await;
        self.steps(executor, &rel, 0, 1).await.unwrap();
        rel
    }

    pub(super) async fn assert_says(&self, endpoint: &Endpoint, slug: &Slug, number: i64) {
        let answer = self.harness.fetch(endpoint).await;
        assert_eq!(
            answer.as_deref().map(str::trim_end),
            Ok(says(slug, number).as_str())
        );
    }

    /// Ends whatever a check has left running.
    pub(super) async fn stop_all(&self) {
        let started = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *started)
        };
        let executor = self.executor().await;
        for (slug, number) in started {
            // The check has had its say; this only tidies up.
            let _ = executor.retire(&slug, number, Duration::ZERO).await;
        }
    }
}

fn says(slug: &Slug, number: i64) -> String {
    format!("{slug} {number}")
}

pub(super) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}
