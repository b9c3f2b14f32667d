//! Removing a project: what goes, in which order, and what becomes of it when something fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::future_not_send,
    reason = "a test fails by panicking, and runs on one thread"
)]

use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, Engine, EngineError, ProjectRequest, RemoveRequest};
use deployr_core::error::{Fault, StepError};
use deployr_core::model::{Actor, Deployment, DeploymentStatus, JobId, Page, Project};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::{NewJob, StoreError};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{
    FaultPlan, MemoryStore, RuntimeClock, ScriptedBuilder, ScriptedExecutor, ScriptedIngress,
    ScriptedSource, Strike,
};
use deployr_core::value::{CommitId, GitUrl, ScheduleName, TargetName, TenantId, Timetable};
use tokio::time::{sleep, timeout};

const LEASE: Duration = Duration::from_secs(60);

struct Bench {
    clock: Arc<RuntimeClock>,
    store: Arc<MemoryStore>,
    source: ScriptedSource,
    builder: ScriptedBuilder,
    executor: ScriptedExecutor,
    second: ScriptedExecutor,
    ingress: ScriptedIngress,
    me: Actor,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(RuntimeClock::new(SystemClock.now()));
        Self {
            store: Arc::new(MemoryStore::new(clock.clone())),
            clock,
            source: ScriptedSource::new(CommitId::parse("a".repeat(40)).unwrap()),
            builder: ScriptedBuilder::default(),
            executor: ScriptedExecutor::default(),
            second: ScriptedExecutor::default(),
            ingress: ScriptedIngress::default(),
            me: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
        }
    }

    fn engine(&self) -> Engine {
        Engine::builder()
            .store(self.store.clone())
            .source(Arc::new(self.source.clone()))
            .builder(Arc::new(self.builder.clone()))
            .executor("local", Arc::new(self.executor.clone()))
            .executor("second", Arc::new(self.second.clone()))
            .ingress(Arc::new(self.ingress.clone()))
            .clock(self.clock.clone())
            .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
            .build()
            .unwrap()
    }

    async fn project(&self, engine: &Engine, name: &str) -> Project {
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        let request = ProjectRequest::new(name, url).unwrap();
        engine.create_project(&self.me, request).await.unwrap()
    }

    async fn deployed(&self, engine: &Engine, project: &Project) -> Deployment {
        let asked = engine.deploy(&self.me, project.id, DeployRequest::latest());
        let asked = asked.await.unwrap();
        until("the deployment ends", async || {
            let found = engine.deployment(&self.me, asked.id).await.unwrap();
            found.status.is_final().then_some(found)
        })
        .await
    }

    async fn is_gone(&self, engine: &Engine, project: &Project) -> Option<()> {
        match engine.project(&self.me, project.id).await {
            Err(EngineError::Store(StoreError::NotFound { .. })) => Some(()),
            found => {
                found.unwrap();
                None
            }
        }
    }

    async fn gone(&self, engine: &Engine, project: &Project) {
        until("the project is gone", async || {
            self.is_gone(engine, project).await
        })
        .await;
    }
}

async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let found = timeout(Duration::from_secs(60 * 60), wait).await;
    found.unwrap_or_else(|_| panic!("never: {what}"))
}

fn down() -> StepError {
    Fault::retryable("connect", "web-1", "it does not answer").into()
}

#[tokio::test(start_paused = true)]
async fn the_route_goes_first_then_the_target_then_the_rest_and_the_name_is_free() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = engine.worker().lease(LEASE).spawn();
    let project = bench.project(&engine, "blog").await;
    bench.deployed(&engine, &project).await;
    let name = ScheduleName::parse("nightly").unwrap();
    let daily = Timetable::parse("@daily").unwrap();
    let scheduled = engine.schedule_redeploy(&bench.me, project.id, name, daily);
    scheduled.await.unwrap();
    assert!(bench.ingress.routed(&project.slug).is_some());

    let request = RemoveRequest {
        purge: true,
        forget: false,
    };
    let removed = engine.remove_project(&bench.me, project.id, request).await;
    let removal = removed.unwrap().removal.unwrap();
    assert_eq!(
        Vec::from_iter(removal.targets),
        [TargetName::parse("local").unwrap()]
    );
    bench.gone(&engine, &project).await;

    assert!(bench.ingress.routed(&project.slug).is_none());
    assert_eq!(bench.executor.target(&project.slug), Default::default());
    assert_eq!(
        bench.executor.script().calls().last().unwrap(),
        "remove blog purge"
    );
    assert_eq!(bench.source.script().count("forget"), 1);
    assert_eq!(bench.builder.script().count("forget"), 1);
    let schedules = engine.schedules(&bench.me.tenant, Page::first(10)).await;
    assert!(schedules.unwrap().is_empty());
    let asked = engine.deployments(&bench.me, Some(project.id), Page::first(10));
    assert!(asked.await.unwrap().is_empty());

    let again = bench.project(&engine, "blog").await;
    assert_eq!(again.slug, project.slug);
    let deployment = bench.deployed(&engine, &again).await;
    assert_eq!(deployment.status, DeploymentStatus::Success);
    assert_eq!(deployment.number, 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_or_runs_is_called_off_and_nothing_more_is_taken() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine, "blog").await;
    let waits = engine.deploy(&bench.me, project.id, DeployRequest::latest());
    let waits = waits.await.unwrap();
    let begun = engine.remove_project(&bench.me, project.id, RemoveRequest::default());
    begun.await.unwrap();
    let found = engine.deployment(&bench.me, waits.id).await.unwrap();
    assert_eq!(found.status, DeploymentStatus::Cancelled);
    let refused = engine.deploy(&bench.me, project.id, DeployRequest::latest());
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.to_string(), "project blog is being removed");
    let _worker = engine.worker().lease(LEASE).spawn();
    bench.gone(&engine, &project).await;
}

/// Whoever asked for the removal may die before it has called the others off.
#[tokio::test(start_paused = true)]
async fn a_removal_that_was_only_begun_calls_the_others_off_by_itself() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine, "blog").await;
    let plan = FaultPlan::default();
    let dies = Engine::builder()
        .store(Arc::new(plan.wrap(bench.store.clone())))
        .source(Arc::new(bench.source.clone()))
        .builder(Arc::new(bench.builder.clone()))
        .executor("local", Arc::new(bench.executor.clone()))
        .clock(bench.clock.clone())
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap();
    let waits = engine.deploy(&bench.me, project.id, DeployRequest::latest());
    waits.await.unwrap();
    plan.strike_all("deployments", Strike::Before);
    let begun = dies.remove_project(&bench.me, project.id, RemoveRequest::default());
    begun.await.unwrap_err();
    let _worker = engine.worker().lease(LEASE).spawn();
    bench.gone(&engine, &project).await;
    let placed = bench.executor.script().count("prepare");
    assert_eq!(placed, 0, "nothing was deployed meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_is_tried_again_then_told_and_can_be_tried_once_more() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = engine.worker().lease(LEASE).spawn();
    let project = bench.project(&engine, "blog").await;
    bench.deployed(&engine, &project).await;
    for _ in 0..5 {
        bench.executor.script().fail_next("remove", down());
    }
    let request = RemoveRequest::default();
    let begun = engine.remove_project(&bench.me, project.id, request).await;
    begun.unwrap();
    let why = until("it is given up", async || {
        let found = engine.project(&bench.me, project.id).await.unwrap();
        engine.removal_trouble(&found).await.unwrap()
    })
    .await;
    assert!(why.contains("it does not answer"), "{why}");
    assert!(why.contains("`local`") && why.contains("forget"), "{why}");
    assert_eq!(bench.executor.script().count("remove"), 5);
    assert!(bench.ingress.routed(&project.slug).is_none());

    let again = engine.remove_project(&bench.me, project.id, request).await;
    again.unwrap();
    bench.gone(&engine, &project).await;
    assert_eq!(bench.executor.target(&project.slug), Default::default());
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_goes_without_a_word_to_its_target() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = engine.worker().lease(LEASE).spawn();
    let project = bench.project(&engine, "blog").await;
    bench.deployed(&engine, &project).await;
    let before = bench.executor.script().calls();
    let request = RemoveRequest {
        purge: false,
        forget: true,
    };
    let begun = engine.remove_project(&bench.me, project.id, request).await;
    begun.unwrap();
    bench.gone(&engine, &project).await;
    assert_eq!(bench.executor.script().calls(), before);
    assert!(bench.ingress.routed(&project.slug).is_none());
    let again = bench.project(&engine, "blog").await;
    assert_ne!(
        again.slug, project.slug,
        "what is left there is not its own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_project_goes_from_all_targets_that_have_releases_of_it() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = engine.worker().lease(LEASE).spawn();
    let project = bench.project(&engine, "blog").await;
    bench.deployed(&engine, &project).await;
    let mut settings = project.settings.clone();
    settings.target = TargetName::parse("second").unwrap();
    let moved = engine.update_project(&bench.me, project.id, settings);
    moved.await.unwrap();
    bench.deployed(&engine, &project).await;
    bench.second.script().fail_next("remove", down());
    let begun = engine.remove_project(&bench.me, project.id, RemoveRequest::default());
    assert_eq!(begun.await.unwrap().removal.unwrap().targets.len(), 2);
    bench.gone(&engine, &project).await;
    for executor in [&bench.executor, &bench.second] {
        assert_eq!(executor.target(&project.slug), Default::default());
        assert!(executor.script().count("remove") >= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_this_engine_has_not_can_only_be_forgotten() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine, "blog").await;
    let less = Engine::builder()
        .store(bench.store.clone())
        .source(Arc::new(bench.source.clone()))
        .builder(Arc::new(bench.builder.clone()))
        .executor("second", Arc::new(bench.second.clone()))
        .clock(bench.clock.clone())
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap();
    let refused = less.remove_project(&bench.me, project.id, RemoveRequest::default());
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(refused, EngineError::UnknownTarget { .. }),
        "{refused}"
    );
    let request = RemoveRequest {
        forget: true,
        ..RemoveRequest::default()
    };
    let begun = less.remove_project(&bench.me, project.id, request).await;
    begun.unwrap();
    let _worker = less.worker().lease(LEASE).spawn();
    bench.gone(&less, &project).await;
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_redeployment_is_asked_for_once_and_in_its_name() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine, "blog").await;
    let name = ScheduleName::parse("nightly").unwrap();
    let daily = Timetable::parse("@yearly").unwrap();
    let scheduled = engine.schedule_redeploy(&bench.me, project.id, name, daily);
    let scheduled = scheduled.await.unwrap();
    assert_eq!(Engine::scheduled_project(&scheduled), Some(project.id));
    // As a scheduler does, when its time has come.
    let job = JobId::new(SystemClock.now(), &SystemEntropy);
    let job = NewJob::of(job, scheduled.job.clone());
    let id = job.id;
    engine.enqueue(&bench.me, vec![job]).await.unwrap();
    let _worker = engine.worker().lease(LEASE).spawn();
    let found = until("it is deployed", async || {
        let all = engine.deployments(&bench.me, Some(project.id), Page::first(10));
        let all = all.await.unwrap();
        all.into_iter().find(|one| one.status.is_final())
    })
    .await;
    assert_eq!(found.status, DeploymentStatus::Success);
    assert_eq!(found.actor, "schedule nightly");
    assert_eq!(
        found.id.as_uuid(),
        id.as_uuid(),
        "known again by an attempt that follows"
    );
}

/// Less is waited for the dead.
const SHORT: Duration = Duration::from_secs(4);

/// Removes a project by a worker that is struck at its `n`-th call, and dies there where that
/// hangs; gives how many calls there were.
async fn struck(n: usize, strike: Strike) -> usize {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = engine.worker().lease(SHORT).spawn();
    let project = bench.project(&engine, "blog").await;
    bench.deployed(&engine, &project).await;
    worker.drain(SHORT).await;

    let plan = FaultPlan::default();
    let fragile = Engine::builder()
        .store(Arc::new(plan.wrap(bench.store.clone())))
        .source(Arc::new(plan.wrap(Arc::new(bench.source.clone()))))
        .builder(Arc::new(plan.wrap(Arc::new(bench.builder.clone()))))
        .executor(
            "local",
            Arc::new(plan.wrap(Arc::new(bench.executor.clone()))),
        )
        .ingress(Arc::new(plan.wrap(Arc::new(bench.ingress.clone()))))
        .clock(bench.clock.clone())
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap();
    plan.strike(n, strike);
    let begun = engine.remove_project(&bench.me, project.id, RemoveRequest::default());
    begun.await.unwrap();
    let _fragile = fragile.worker().lease(SHORT).spawn();
    let next = tokio::select! {
        () = bench.gone(&engine, &project) => None,
        () = plan.hung() => {
            plan.kill();
            Some(engine.worker().lease(SHORT).spawn())
        }
    };
    bench.gone(&engine, &project).await;
    assert_eq!(bench.executor.target(&project.slug), Default::default());
    assert!(bench.ingress.routed(&project.slug).is_none());
    drop(next);
    plan.count()
}

#[tokio::test(start_paused = true)]
async fn wherever_it_is_cut_off_the_next_attempt_ends_the_same() {
    let calls = struck(usize::MAX, Strike::Before).await;
    assert!(calls > 8, "{calls}");
    for strike in [Strike::After, Strike::HangAfter] {
        for n in 1..=calls {
            let ended = timeout(Duration::from_secs(3 * 60 * 60), struck(n, strike)).await;
            ended.unwrap_or_else(|_| panic!("no end after {strike:?} at call {n}"));
        }
    }
}
