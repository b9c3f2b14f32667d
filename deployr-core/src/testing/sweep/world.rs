//! Everything of one run: what outlives a process, and the processes.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::disk::Disk;
use super::operator::Final;
use super::parts::{self, SlowBuilder, SlowIngress};
use super::strangers::Strangers;
use super::witness::{Jobs, Witness};
use crate::engine::{Engine, ProjectRequest};
use crate::ingress::{Ingress, Route};
use crate::model::{Actor, Deployment, Page, ProjectId};
use crate::notifier::{Notice, Notifier};
use crate::secret::{KeyId, KeyRing};
use crate::store::Store;
use crate::system::{Clock, Timestamp};
use crate::testing::faults::{Call, on_the_spot};
use crate::testing::{
    FaultPlan, Faulty, ManualClock, MemoryTarget, RecordingNotifier, ScriptedBuilder,
    ScriptedExecutor, ScriptedIngress, ScriptedSource, SeededEntropy, Strike,
};
use crate::value::{GitUrl, KeepReleases, Slug, TenantId};
use crate::worker::Worker;

/// How long a lease holds, by the store.
pub(super) const LEASE: Duration = Duration::from_secs(8);
/// How often something is looked for that nobody tells of.
pub(super) const IDLE: Duration = Duration::from_secs(4);
/// Long enough for somebody else to have taken over and ended.
pub(super) const STALL: Duration = Duration::from_secs(40);

/// How long a process is waited for that was asked to end: longer than any call is slow,
/// or else what is only slow would be cut off.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Lets the store's clock go with tokio's, which is paused and moves by leaps.
pub(super) struct Clockwork {
    pub(super) clock: Arc<ManualClock>,
    at_start: Timestamp,
    started: Instant,
}

impl Clockwork {
    fn start(at_start: Timestamp) -> Self {
        Self {
            at_start,
            clock: Arc::new(ManualClock::new(at_start)),
            started: Instant::now(),
        }
    }

    pub(super) fn follow(&self) {
        self.clock.set(self.at_start + self.started.elapsed());
    }
}

/// One process: its engine, its worker, and what is struck of its calls.
pub(super) struct Process {
    pub(super) plan: FaultPlan,
    pub(super) engine: Engine,
    worker: Mutex<Option<Worker>>,
}

/// How the processes of a run are struck.
#[derive(Debug, Clone, Default)]
pub(super) struct Strikes {
    /// The calls, counted from 1 over all processes since it was armed.
    pub(super) at: Vec<(usize, Strike)>,
    /// Whether a process does not notice by itself that it may have lost its leases.
    pub(super) unnoticing: bool,
}

pub(super) struct World {
    disk: Arc<dyn Disk>,
    pub(super) store: Arc<dyn Store>,
    clockwork: Arc<Clockwork>,
    entropy: Arc<SeededEntropy>,
    source: ScriptedSource,
    pub(super) builder: SlowBuilder,
    pub(super) executor: ScriptedExecutor,
    pub(super) ingress: SlowIngress,
    pub(super) notifier: RecordingNotifier,
    pub(super) me: Actor,
    pub(super) slug: Slug,
    pub(super) project: OnceLock<ProjectId>,
    pub(super) strangers: OnceLock<Strangers>,
    pub(super) witness: Arc<Witness>,
    processes: Mutex<Vec<Arc<Process>>>,
    strikes: Mutex<Strikes>,
}

/// What the runs that begin in the same way have in common.
pub(super) struct Past {
    disk: Arc<dyn Disk>,
    now: Timestamp,
    target: MemoryTarget,
    route: Option<Route>,
    notices: Vec<Notice>,
    jobs: Jobs,
    project: Option<ProjectId>,
    strangers: Option<Strangers>,
    pub(super) finals: Vec<Final>,
}

impl Past {
    /// Nothing has happened yet.
    pub(super) fn none(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            now: ManualClock::default().now(),
            target: MemoryTarget::default(),
            route: None,
            notices: Vec::new(),
            jobs: Jobs::default(),
            project: None,
            strangers: None,
            finals: Vec::new(),
        }
    }
}

/// The store on a disk, for one more who calls it.
async fn opened(plan: &FaultPlan, disk: &dyn Disk, clockwork: &Clockwork) -> Faulty<dyn Store> {
    let opening = disk.open(clockwork.clock.clone());
    plan.wrap(match disk.has_threads() {
        true => {
            let runtime = disk.runtime();
            plan.stay_on_the_spot(runtime.clone());
            on_the_spot(runtime.as_ref(), opening)
        }
        false => opening.await,
    })
}

fn slug() -> Slug {
    Slug::parse("blog").unwrap()
}

impl World {
    /// A world that goes on where `past` ends.
    pub(super) async fn new(past: &Past, seed: u64) -> Arc<Self> {
        let disk = past.disk.copy().await;
        let clockwork = Arc::new(Clockwork::start(past.now));
        let (executor, ingress) = (ScriptedExecutor::default(), ScriptedIngress::default());
        let notifier = RecordingNotifier::default();
        let slug = slug();
        executor.meddle(&slug, |target| *target = past.target.clone());
        if let Some(route) = &past.route {
            ingress.route(route.clone()).await.unwrap();
        }
        for notice in &past.notices {
            notifier.notify(notice).await.unwrap();
        }
        let witness = Witness::new(
            clockwork.clone(),
            executor.clone(),
            ingress.clone(),
            slug.clone(),
            past.jobs.clone(),
        );
        Arc::new(Self {
            store: Arc::new(opened(&FaultPlan::default(), &*disk, &clockwork).await),
            disk,
            clockwork,
            entropy: Arc::new(SeededEntropy::new(seed)),
            source: parts::source(),
            builder: SlowBuilder(ScriptedBuilder::default()),
            executor,
            ingress: SlowIngress(ingress),
            notifier,
            me: Actor::new(TenantId::parse("acme").unwrap(), "ada"),
            slug,
            project: past.project.map(OnceLock::from).unwrap_or_default(),
            strangers: past.strangers.map(OnceLock::from).unwrap_or_default(),
            witness: Arc::new(witness),
            processes: Mutex::default(),
            strikes: Mutex::default(),
        })
    }

    /// What there is now, once no process is left.
    pub(super) fn past(&self, finals: &[Final]) -> Past {
        self.clockwork.follow();
        Past {
            disk: self.disk.clone(),
            now: self.clockwork.clock.now(),
            target: self.executor.target(&self.slug),
            route: self.ingress.0.routed(&self.slug),
            notices: self.notifier.notices(),
            jobs: self.witness.jobs(),
            project: self.project.get().copied(),
            strangers: self.strangers.get().copied(),
            finals: finals.to_vec(),
        }
    }

    /// From now on, processes are struck.
    pub(super) fn arm(&self, strikes: Strikes) {
        *self.strikes.lock().unwrap_or_else(PoisonError::into_inner) = strikes;
    }

    /// From now on, none is.
    pub(super) fn disarm(&self) {
        *self.strikes.lock().unwrap_or_else(PoisonError::into_inner) = Strikes::default();
        self.processes().iter().for_each(|one| one.plan.disarm());
    }

    /// The calls of all processes so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        let processes = self.processes();
        let calls = processes.iter().flat_map(|process| process.plan.made());
        calls.collect()
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Arc<Process>>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest process.
    pub(super) fn process(&self) -> Arc<Process> {
        self.processes().last().expect("one was started").clone()
    }

    /// Whether a process stands still, or the newest is not at work yet.
    pub(super) fn is_astir(&self) -> bool {
        let processes = self.processes();
        let still = processes.iter().any(|one| one.plan.stands_still());
        let works = processes.last().is_some_and(|newest| {
            let worker = newest.worker.lock().unwrap_or_else(PoisonError::into_inner);
            worker.is_some()
        });
        still || !works
    }

    /// Starts a process, as its supervisor does: also whenever it dies, and, in place of
    /// one that stands still, another.
    pub(super) async fn start(self: &Arc<Self>) {
        let plan = FaultPlan::default();
        let Strikes { at, unnoticing } = {
            let strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
            strikes.clone()
        };
        // What is left of the strikes is for the newest process, and only the first of all
        // is blind to what it has lost.
        let made = self.calls().len();
        let unnoticing = unnoticing && made == 0;
        self.processes().iter().for_each(|one| one.plan.disarm());
        for (n, strike) in at.into_iter().filter(|(n, _)| *n > made) {
            plan.strike(n - made, strike);
        }
        plan.look_on(self.witness.clone());
        let mut lease = LEASE;
        if unnoticing {
            plan.shorten_leases(LEASE);
            lease = Duration::from_secs(3_600);
        }
        let store = opened(&plan, &*self.disk, &self.clockwork).await;
        let keys = KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap();
        let engine = Engine::builder()
            .store(Arc::new(store))
            .source(Arc::new(plan.wrap(Arc::new(self.source.clone()))))
            .builder(Arc::new(plan.wrap(Arc::new(self.builder.clone()))))
            .executor(
                "local",
                Arc::new(plan.wrap(Arc::new(self.executor.clone()))),
            )
            .ingress(Arc::new(plan.wrap(Arc::new(self.ingress.clone()))))
            .notifier(Arc::new(plan.wrap(Arc::new(self.notifier.clone()))))
            .clock(self.clockwork.clock.clone())
            .entropy(self.entropy.clone())
            .keys(keys)
            .build()
            .unwrap();
        let process = Arc::new(Process {
            plan,
            engine,
            worker: Mutex::default(),
        });
        self.processes().push(Arc::clone(&process));
        self.witness.tell("a process starts");
        tokio::spawn(boot(Arc::clone(&process), lease));
        tokio::spawn(supervise(Arc::clone(self), process));
    }

    /// Lets the newest process end in good order.
    pub(super) async fn stop(&self) {
        let process = self.process();
        let worker = {
            let mut worker = process
                .worker
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            worker.take()
        };
        if let Some(worker) = worker {
            // One that dies meanwhile never ends.
            let drain = worker.drain(Duration::ZERO);
            let _ = tokio::time::timeout(STOP_PATIENCE, drain).await;
        }
        self.witness.tell("a process is stopped");
        process.plan.kill();
    }

    pub(super) async fn create_project(&self) {
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        let mut request = ProjectRequest::new("Blog", url).unwrap();
        request.settings.keep_releases = KeepReleases::new(2).unwrap();
        let engine = &self.process().engine;
        let project = engine.create_project(&self.me, request).await.unwrap();
        assert_eq!(project.slug, self.slug);
        self.project.set(project.id).unwrap();
    }

    pub(super) async fn invite_strangers(&self) {
        let strangers = Strangers::enqueue(&*self.store, &self.me.tenant, &*self.disk);
        self.strangers.set(strangers.await).unwrap();
    }

    /// All deployments, the oldest first.
    pub(super) async fn deployments(&self) -> Vec<Deployment> {
        let page = Page::first(1_000);
        let all = self.store.deployments(&self.me.tenant, None, page).await;
        let mut all = all.unwrap();
        all.sort_by_key(|deployment| deployment.number);
        all
    }
}

/// What a server does at its start.
async fn boot(process: Arc<Process>, lease: Duration) {
    for _ in 0..3 {
        match process.engine.restore().await {
            Ok(restored) if restored.failed.is_empty() => break,
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    let worker = process.engine.worker().lease(lease);
    // Within a process there are hints; what nobody hints at is found by these.
    let worker = worker.poll(IDLE).sweep(IDLE).spawn();
    let mut place = process
        .worker
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *place = Some(worker);
}

/// Boxed, as one that is started may have to be followed by another.
fn supervise(world: Arc<World>, process: Arc<Process>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        tokio::select! {
                biased;
            () = process.plan.hung() => {
                process.plan.kill();
                world.witness.tell("a process dies");
            }
            () = process.plan.stalled() => world.witness.tell("a process stands still"),
        }
        world.start().await;
    })
}
