//! The engine over parts in memory: what a deployment does to each of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::future_not_send,
    reason = "a test fails by panicking, and runs on one thread"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::context::StepContext;
use deployr_core::engine::{DeployRequest, Engine, EngineError, Event, ProjectRequest};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::log::LogStream;
use deployr_core::model::{
    Actor, Deployment, DeploymentId, DeploymentStatus, Failure, JobState, Page, Project,
    ReleaseState, Stage,
};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::source::{Commit, Source, SourceProvider};
use deployr_core::store::{JobQueue, StoreError};
use deployr_core::system::{Clock, SystemClock};
use deployr_core::testing::{
    ManualClock, MemoryStore, RecordingNotifier, ScriptedBuilder, ScriptedExecutor,
    ScriptedIngress, ScriptedSource,
};
use deployr_core::value::{
    BranchName, CommitId, EnvName, EnvSet, EnvValue, GitRef, GitUrl, Slug, TenantId,
};
use deployr_core::worker::Worker;

struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    source: ScriptedSource,
    builder: ScriptedBuilder,
    executor: ScriptedExecutor,
    ingress: ScriptedIngress,
    notifier: RecordingNotifier,
    me: Actor,
}

fn commit(letter: &str) -> CommitId {
    CommitId::parse(letter.repeat(40)).unwrap()
}

impl Bench {
    fn new() -> Self {
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

    fn engine(&self) -> Engine {
        self.engine_with(
            Arc::new(self.source.clone()),
            Arc::new(self.ingress.clone()),
        )
    }

    fn engine_with(&self, source: Arc<dyn SourceProvider>, ingress: Arc<dyn Ingress>) -> Engine {
        Engine::builder()
            .store(self.store.clone())
            .source(source)
            .builder(Arc::new(self.builder.clone()))
            .executor("local", Arc::new(self.executor.clone()))
            .ingress(ingress)
            .notifier(Arc::new(self.notifier.clone()))
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .build()
            .unwrap()
    }

    async fn project(&self, engine: &Engine) -> Project {
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        engine
            .create_project(&self.me, ProjectRequest::new("Blog", url).unwrap())
            .await
            .unwrap()
    }

    async fn deploy(&self, engine: &Engine, project: &Project) -> Deployment {
        let asked = engine
            .deploy(&self.me, project.id, DeployRequest::latest())
            .await
            .unwrap();
        self.end_of(engine, asked.id).await
    }

    async fn end_of(&self, engine: &Engine, id: DeploymentId) -> Deployment {
        let (_, deployment) = self.follow(engine, id, 0).await;
        deployment
    }

    async fn follow(
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
    async fn until(
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

fn slug() -> Slug {
    Slug::parse("blog").unwrap()
}

fn worker(engine: &Engine) -> Worker {
    let quick = Duration::from_millis(20);
    engine
        .worker()
        .poll(quick)
        .sweep(quick)
        .lease(Duration::from_secs(2))
        .spawn()
}

/// A source that hangs until it is told to stop.
struct Hanging;

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
}

/// An ingress whose drain never ends: the process "dies" after the switch.
struct NeverDrains(ScriptedIngress);

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

#[tokio::test]
async fn a_commit_goes_live() {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    let (lines, ended) = bench.follow(&engine, asked.id, 0).await;

    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(ended.commit, Some(commit("a")));
    let stages: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("== "))
        .collect();
    assert_eq!(
        stages,
        ["checkout", "build", "release", "verify", "activate"],
        "{lines:#?}"
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    assert!(
        bench.builder.open_workspaces().is_empty(),
        "the workspace is gone"
    );

    let times = engine.stages(&bench.me, asked.id).await.unwrap();
    assert_eq!(times.first().unwrap().stage, Stage::Queued);
    assert!(
        times.iter().all(|stage| stage.ended_at.is_some()),
        "{times:?}"
    );
    let releases = engine
        .releases(&bench.me, project.id, Page::first(10))
        .await
        .unwrap();
    assert_eq!(releases.len(), 1);
    assert_eq!(releases[0].state, ReleaseState::Live);
    worker.drain(Duration::from_secs(5)).await;
    assert_eq!(bench.notifier.notices().len(), 1, "told once");
}

#[tokio::test]
async fn the_next_release_takes_over_and_the_first_is_kept_for_a_rollback() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    bench.source.set("main", commit("b"));
    assert_eq!(
        bench.deploy(&engine, &project).await.status,
        DeploymentStatus::Success
    );

    let target = bench.executor.target(&slug());
    assert_eq!(target.current, Some(2));
    assert!(!target.releases[&1].up, "the old one is stopped");
    let builds = bench.builder.script().count("build");

    let back = engine.rollback(&bench.me, project.id, None).await.unwrap();
    assert_eq!(
        bench.end_of(&engine, back.id).await.status,
        DeploymentStatus::Success
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    assert_eq!(
        bench.builder.script().count("build"),
        builds,
        "a rollback builds nothing"
    );
    let states: Vec<_> = engine
        .releases(&bench.me, project.id, Page::first(10))
        .await
        .unwrap()
        .iter()
        .map(|release| (release.number, release.state))
        .collect();
    assert_eq!(states, [(2, ReleaseState::Kept), (1, ReleaseState::Live)]);
}

#[tokio::test]
async fn a_rollback_passes_over_a_release_that_was_rolled_back_from() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let back = async || {
        let back = engine.rollback(&bench.me, project.id, None).await?;
        bench.end_of(&engine, back.id).await;
        Ok::<_, EngineError>(bench.executor.target(&slug()).current)
    };
    bench.deploy(&engine, &project).await;
    bench.deploy(&engine, &project).await;
    assert_eq!(back().await.unwrap(), Some(1), "2 is bad");
    bench.deploy(&engine, &project).await;
    assert_eq!(bench.executor.target(&slug()).current, Some(3));
    assert_eq!(back().await.unwrap(), Some(1));
    let none = back().await.unwrap_err();
    assert!(
        matches!(none, EngineError::NoEarlierRelease { .. }),
        "{none}"
    );
}

#[tokio::test]
async fn a_verdict_fails_the_deployment_and_leaves_the_old_release_serving() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    let verdict = |code| StepError::verdict(code, "in words");
    bench
        .builder
        .script()
        .fail_next("build", verdict(VerdictCode::BuildFailed));
    let built = bench.deploy(&engine, &project).await;
    bench
        .executor
        .script()
        .fail_next("verify", verdict(VerdictCode::Unhealthy));
    let verified = bench.deploy(&engine, &project).await;

    for (ended, code) in [(built, "build_failed"), (verified, "unhealthy")] {
        assert_eq!(ended.status, DeploymentStatus::Failed);
        assert!(
            matches!(&ended.failure, Some(Failure::Verdict { code: c, .. }) if c == code),
            "{ended:?}"
        );
        let job = bench.store.job(&bench.me.tenant, ended.job).await.unwrap();
        assert_eq!(
            (job.state, job.attempt),
            (JobState::Completed, 1),
            "a verdict is not tried again"
        );
    }
    let target = bench.executor.target(&slug());
    assert_eq!(target.current, Some(1));
    assert_eq!(target.releases.len(), 1, "the failed release is gone");
    assert!(target.releases[&1].up);
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    assert!(bench.builder.open_workspaces().is_empty());
}

#[tokio::test]
async fn a_fault_is_tried_again_with_a_release_of_its_own() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.executor.script().fail_next(
        "prepare",
        Fault::retryable("copying", "the target", "it blinked").into(),
    );
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    bench
        .until(&engine, asked.id, |d| {
            d.status == DeploymentStatus::Queued && d.started_at.is_some()
        })
        .await;
    bench.clock.advance(Duration::from_secs(20));
    let ended = bench.end_of(&engine, asked.id).await;
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(
        bench
            .store
            .job(&bench.me.tenant, ended.job)
            .await
            .unwrap()
            .attempt,
        2
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(2));
}

#[tokio::test]
async fn a_permanent_fault_fails_at_once() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.builder.script().fail_next(
        "prepare",
        Fault::permanent("making", "a workspace", "not allowed").into(),
    );
    let ended = bench.deploy(&engine, &project).await;
    assert_eq!(ended.status, DeploymentStatus::Failed);
    assert!(
        matches!(ended.failure, Some(Failure::Fault { .. })),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_cancelled_deployment_is_cancelled_once_its_worker_has_stopped() {
    let bench = Bench::new();
    let engine = bench.engine_with(Arc::new(Hanging), Arc::new(bench.ingress.clone()));
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    bench
        .until(&engine, asked.id, |d| {
            d.status == DeploymentStatus::Building
        })
        .await;
    let cancelling = engine
        .cancel(&bench.me, asked.id, "changed my mind")
        .await
        .unwrap();
    assert_eq!(cancelling.status, DeploymentStatus::Cancelling);
    let ended = bench.end_of(&engine, asked.id).await;
    assert_eq!(ended.status, DeploymentStatus::Cancelled);
    assert!(bench.builder.open_workspaces().is_empty());
    let again = engine.cancel(&bench.me, asked.id, "again").await.unwrap();
    assert_eq!(
        again.status,
        DeploymentStatus::Cancelled,
        "asking again changes nothing"
    );
}

#[tokio::test]
async fn a_newer_deployment_supersedes_those_that_wait() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let first = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    let second = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    let first = engine.deployment(&bench.me, first.id).await.unwrap();
    assert_eq!(first.status, DeploymentStatus::Cancelled);
    assert_eq!(
        first.failure.unwrap().message(),
        format!("superseded by {}", second.id)
    );
    let _worker = worker(&engine);
    assert_eq!(
        bench.end_of(&engine, second.id).await.status,
        DeploymentStatus::Success
    );
}

#[tokio::test]
async fn a_worker_that_drains_hands_its_job_back_unharmed() {
    let bench = Bench::new();
    let engine = bench.engine_with(Arc::new(Hanging), Arc::new(bench.ingress.clone()));
    let first = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    bench
        .until(&engine, asked.id, |d| {
            d.status == DeploymentStatus::Building
        })
        .await;
    first.drain(Duration::ZERO).await;
    let job = bench.store.job(&bench.me.tenant, asked.job).await.unwrap();
    assert_eq!((job.state, job.attempt), (JobState::Queued, 0));

    let next = bench.engine();
    let _worker = worker(&next);
    assert_eq!(
        bench.end_of(&next, asked.id).await.status,
        DeploymentStatus::Success
    );
}

#[tokio::test]
async fn after_a_death_behind_the_switch_only_the_rest_is_done_again() {
    let bench = Bench::new();
    let dying = bench.engine_with(
        Arc::new(bench.source.clone()),
        Arc::new(NeverDrains(bench.ingress.clone())),
    );
    let _stuck = worker(&dying);
    let project = bench.project(&dying).await;
    let asked = dying
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    bench
        .until(&dying, asked.id, |d| d.stage == Stage::Activate)
        .await;
    while bench.ingress.routed(&slug()).is_none() {
        tokio::task::yield_now().await;
    }
    let builds = bench.builder.script().count("build");

    // The lease runs out by the store's clock, and another engine takes over.
    let engine = bench.engine();
    let _worker = worker(&engine);
    let pushed = async {
        loop {
            bench.clock.advance(Duration::from_millis(50));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::select! {
        ended = bench.end_of(&engine, asked.id) => ended,
        () = pushed => unreachable!(),
    };
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(
        bench.builder.script().count("build"),
        builds,
        "nothing is built again"
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(
        engine
            .releases(&bench.me, project.id, Page::first(10))
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn followers_see_every_line_once_from_wherever_they_begin() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    let (live, _) = bench.follow(&engine, asked.id, 0).await;
    let (later, _) = bench.follow(&engine, asked.id, 0).await;
    let (rest, _) = bench.follow(&engine, asked.id, 3).await;
    assert!(live.len() > 5);
    assert_eq!(live, later);
    assert_eq!(live[3..], rest);
}

#[tokio::test]
async fn the_environment_reaches_the_release_and_no_log() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
    let mut env = EnvSet::default();
    env.insert(
        EnvName::parse("TOKEN").unwrap(),
        EnvValue::parse("s3cret-v4lue").unwrap(),
    )
    .unwrap();
    let request = ProjectRequest::new("Blog", url).unwrap().env(env);
    let project = engine.create_project(&bench.me, request).await.unwrap();
    let error = StepError::verdict(VerdictCode::BuildFailed, "it printed s3cret-v4lue");
    bench.builder.script().fail_next("build", error);
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    let (lines, ended) = bench.follow(&engine, asked.id, 0).await;
    assert!(!lines.join("\n").contains("s3cret-v4lue"), "{lines:#?}");
    assert!(!format!("{ended:?}").contains("s3cret-v4lue"), "{ended:?}");
    assert_eq!(
        bench.deploy(&engine, &project).await.status,
        DeploymentStatus::Success
    );
    assert_eq!(
        engine.env_names(&bench.me, project.id).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn after_a_restart_live_releases_serve_again() {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    worker.drain(Duration::from_secs(5)).await;
    bench.ingress.forget();
    bench.executor.meddle(&slug(), |target| {
        target.releases.get_mut(&1).unwrap().up = false
    });

    let restored = bench.engine().restore().await.unwrap();
    assert_eq!((restored.serving, restored.failed.len()), (1, 0));
    assert!(bench.executor.target(&slug()).releases[&1].up);
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
}

#[tokio::test]
async fn what_is_away_at_a_restart_serves_once_it_is_back() {
    let bench = Bench::new();
    let engine = bench.engine();
    let first = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    first.drain(Duration::from_secs(5)).await;
    bench.ingress.forget();
    // Three times for the restart itself, and as often for the first job that follows.
    for _ in 0..6 {
        let away = Fault::retryable("connecting", "the target", "it is away");
        bench.executor.script().fail_next("start", away.into());
    }
    let engine = bench.engine();
    let restored = engine.restore().await.unwrap();
    assert_eq!((restored.serving, restored.failed.len()), (0, 1));
    assert!(bench.ingress.routed(&slug()).is_none());

    let second = worker(&engine);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while bench.ingress.routed(&slug()).is_none() {
        assert!(std::time::Instant::now() < deadline, "it is not back");
        bench.clock.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    second.drain(Duration::from_secs(5)).await;
    let left = bench.store.queue_stats().await.unwrap();
    assert_eq!(left.pending + left.queued, 0, "nothing tries on: {left:?}");
}

#[tokio::test]
async fn a_plan_changes_nothing() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let plan = engine.plan(&bench.me, project.id, None).await.unwrap();
    assert_eq!(plan.commit, commit("a"));
    assert!(plan.zero_downtime && !plan.steps.is_empty());
    assert_eq!(bench.builder.script().count("build"), 0);
    assert!(bench.executor.script().calls().is_empty());
    assert!(bench.builder.open_workspaces().is_empty());
    assert!(
        engine
            .deployments(&bench.me, None, Page::first(10))
            .await
            .unwrap()
            .is_empty()
    );

    let missing = GitRef::Branch(BranchName::parse("missing").unwrap());
    let refused = engine.plan(&bench.me, project.id, Some(missing)).await;
    assert!(matches!(refused, Err(EngineError::Verdict(v)) if v.code == VerdictCode::RefNotFound));
    assert!(
        bench.builder.open_workspaces().is_empty(),
        "also after a failure"
    );
}

#[tokio::test]
async fn what_the_target_cannot_run_is_refused_before_it_is_built() {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.executor.refuse_all("it runs no processes");
    let planned = engine.plan(&bench.me, project.id, None).await;
    assert!(matches!(planned, Err(EngineError::Verdict(v)) if v.code == VerdictCode::Unsupported));
    let ended = bench.deploy(&engine, &project).await;
    assert_eq!(ended.status, DeploymentStatus::Failed);
    assert!(
        matches!(&ended.failure, Some(Failure::Verdict { code, .. }) if code == "unsupported"),
        "{ended:?}"
    );
    worker.drain(Duration::from_secs(5)).await;
    assert_eq!(bench.builder.script().count("build"), 0);
    assert_eq!(bench.executor.script().count("prepare"), 0);
    assert!(bench.builder.open_workspaces().is_empty());
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let asked = engine
        .deploy(&bench.me, project.id, DeployRequest::latest())
        .await
        .unwrap();
    let other = Actor::new(TenantId::parse("other").unwrap(), "eve");
    let not_found =
        |error: EngineError| matches!(error, EngineError::Store(StoreError::NotFound { .. }));
    assert!(not_found(
        engine.project(&other, project.id).await.unwrap_err()
    ));
    assert!(not_found(
        engine
            .deploy(&other, project.id, DeployRequest::latest())
            .await
            .unwrap_err()
    ));
    assert!(not_found(
        engine.cancel(&other, asked.id, "mine").await.unwrap_err()
    ));
    assert!(not_found(
        engine.follow(&other, asked.id, 0).await.unwrap_err()
    ));
    assert!(not_found(
        engine.read_log(&other, asked.id, 0, 10).await.unwrap_err()
    ));
    assert!(not_found(
        engine.rollback(&other, project.id, None).await.unwrap_err()
    ));
    // The name of a project of another tenant is free, its host name is not.
    let url = GitUrl::parse("https://git.example.com/eve/blog.git").unwrap();
    let theirs = engine
        .create_project(&other, ProjectRequest::new("Blog", url).unwrap())
        .await
        .unwrap();
    assert_ne!(theirs.slug, project.slug);
}
