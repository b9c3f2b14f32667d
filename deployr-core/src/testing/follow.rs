//! What everybody who follows a log must see, over whichever store and bus: all lines
//! from where they begin, in order, each once, then the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::suite::{self, in_time};
use super::{FaultPlan, ScriptedBuilder, ScriptedExecutor, ScriptedSource, SeededEntropy, Strike};
use crate::bus::{EventBus, Hint, Hints, LocalBus};
use crate::engine::{DeployRequest, Engine, Event, Follow, ProjectRequest};
use crate::log::{LogLimits, LogSink, LogStream, LogTarget, MAX_LINE_BYTES, Redactor};
use crate::model::{
    Actor, Claim, DeploymentId, DeploymentStatus, Failure, Labels, Stage, WorkerId,
};
use crate::secret::{KeyId, KeyRing};
use crate::store::{ClaimRequest, LOG_READ_BYTES, Outcome, Store};
use crate::system::{SystemClock, SystemEntropy};
use crate::value::{CommitId, GitUrl, JobKind, Label, TenantId};

/// Two of three hints get lost on it.
#[derive(Debug, Default)]
pub struct LossyBus {
    bus: LocalBus,
    published: AtomicUsize,
}

impl EventBus for LossyBus {
    fn publish(&self, hint: Hint) {
        if self.published.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            self.bus.publish(hint);
        }
    }

    fn subscribe(&self) -> Hints {
        self.bus.subscribe()
    }
}

/// A hundred follow one log of `lines` lines, from random lines on and from random
/// moments on, while it is written. One of them goes away in the middle, some come back,
/// some drop their calls; one more reads nothing until it is over. Call it on a runtime
/// with several threads.
///
/// # Panics
///
/// When one of them misses a line, sees one twice, or does not come to the end.
pub async fn a_hundred_followers(
    store: Arc<dyn Store>,
    bus: Arc<dyn EventBus>,
    lines: usize,
    seed: u64,
) {
    let world = Arc::new(World::new(store, bus, lines).await);
    let mut stalled = world.follow(0).await;
    let mut followers = tokio::task::JoinSet::new();
    for number in 0..100 {
        followers.spawn(follow_all(
            world.clone(),
            number,
            SeededEntropy::new(seed + number),
        ));
    }
    let random = SeededEntropy::new(seed);
    let writer = in_time("the writer", world.write(&random));
    let (first, ()) = tokio::join!(stalled.try_next(), writer);
    let mut next = 1;
    world.check(&mut next, first.unwrap().as_ref());
    in_time("the followers", async {
        while let Some(ended) = followers.join_next().await {
            ended.unwrap();
        }
    })
    .await;

    world.check_what_is_held(&stalled);
    while let Some(event) = in_time("the stalled one", stalled.try_next())
        .await
        .unwrap()
    {
        world.check(&mut next, Some(&event));
    }
    world.check_end(next);
}

/// One that reads a line of a log of long lines, and then no more, holds little of it.
///
/// # Panics
///
/// When it holds more.
pub async fn a_stalled_follower_holds_little(store: Arc<dyn Store>) {
    let lines = 4 * LOG_READ_BYTES / MAX_LINE_BYTES;
    let world = World::new(store, Arc::new(LocalBus::default()), lines).await;
    let log = world.sink();
    for number in 1..=lines {
        let mut line = world.line(number);
        line.extend(std::iter::repeat_n('x', MAX_LINE_BYTES - line.len()));
        log.writer().write(LogStream::Stdout, line.as_bytes()).await;
        log.writer().write(LogStream::Stdout, b"\n").await;
    }
    log.close().await.unwrap();
    let mut stalled = world.follow(0).await;
    in_time("a line", stalled.try_next()).await.unwrap();
    assert!(stalled.held() > 0);
    world.check_what_is_held(&stalled);
}

/// Lines and end come just after a follower has looked for lines, and before it looks for
/// the end. Call it on a runtime whose clock is paused.
///
/// # Panics
///
/// When it sees the end and not the lines.
pub async fn lines_come_before_the_end(store: Arc<dyn Store>) {
    let world = World::new(store.clone(), Arc::new(LocalBus::default()), 10).await;
    let plan = FaultPlan::default();
    let store: Arc<dyn Store> = Arc::new(plan.wrap(store));
    let engine = engine(&store, &world.bus);
    let mut follow = engine
        .follow(&world.actor, world.deployment, 0)
        .await
        .unwrap();
    // The next call but one: that after the look for lines.
    let looked = plan.count();
    plan.strike(looked + 2, Strike::Delay(Duration::from_secs(1)));
    let follower = async {
        let mut events = Vec::new();
        while let Some(event) = follow.try_next().await.unwrap() {
            events.push(event);
        }
        events
    };
    let writer = async {
        suite::eventually("the look for the end", || plan.count() == looked + 2).await;
        world.write(&SeededEntropy::new(1)).await;
    };
    let (events, ()) = in_time("the follower", async { tokio::join!(follower, writer) }).await;
    let mut next = 1;
    events
        .iter()
        .for_each(|event| world.check(&mut next, Some(event)));
    assert_eq!(events.len(), 11, "ten lines and the end");
}

fn engine(store: &Arc<dyn Store>, bus: &Arc<dyn EventBus>) -> Engine {
    let commit = CommitId::parse("a".repeat(40)).unwrap();
    Engine::builder()
        .store(store.clone())
        .bus(bus.clone())
        .source(Arc::new(ScriptedSource::new(commit)))
        .builder(Arc::new(ScriptedBuilder::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap()
}

/// A deployment in the hands of a worker.
struct World {
    engine: Engine,
    store: Arc<dyn Store>,
    bus: Arc<dyn EventBus>,
    actor: Actor,
    claim: Claim,
    deployment: DeploymentId,
    lines: usize,
    written: watch::Sender<usize>,
}

impl World {
    async fn new(store: Arc<dyn Store>, bus: Arc<dyn EventBus>, lines: usize) -> Self {
        let engine = engine(&store, &bus);
        let actor = Actor::new(TenantId::parse("acme").unwrap(), "ada");
        let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
        let request = ProjectRequest::new("Blog", url).unwrap();
        let project = engine.create_project(&actor, request).await.unwrap();
        let request = DeployRequest::latest();
        let deployment = engine.deploy(&actor, project.id, request).await.unwrap().id;
        let request = ClaimRequest {
            worker: WorkerId::new(crate::system::Clock::now(&SystemClock), &SystemEntropy),
            kinds: vec![JobKind::parse("deploy").unwrap()],
            limit: 1,
            offers: Labels::from([Label::target(&project.settings.target)]),
            term: Duration::from_secs(600),
        };
        let claim = store.claim(request).await.unwrap()[0].claim;
        let stage = Stage::Checkout;
        store
            .enter_stage(&claim, deployment, stage, None)
            .await
            .unwrap();
        let written = watch::Sender::new(0);
        Self {
            engine,
            store,
            bus,
            actor,
            claim,
            deployment,
            lines,
            written,
        }
    }

    fn line(&self, number: usize) -> String {
        format!("line {number} of {}", self.lines)
    }

    fn sink(&self) -> LogSink {
        let target = LogTarget {
            store: self.store.clone(),
            bus: self.bus.clone(),
            clock: Arc::new(SystemClock),
            claim: self.claim,
            deployment: self.deployment,
            lost: CancellationToken::new(),
            trouble: Arc::default(),
        };
        let limits = LogLimits {
            batch_lines: 100,
            ..LogLimits::default()
        };
        LogSink::start(target, 1, Arc::new(Redactor::new([])), limits)
    }

    /// Writes all lines, then ends the deployment.
    async fn write(&self, random: &SeededEntropy) {
        let sink = self.sink();
        let log = sink.writer();
        let mut number = 1;
        while number <= self.lines {
            let until = self.lines.min(number + random.below(60));
            let text: String = (number..=until).map(|n| self.line(n) + "\n").collect();
            let stream = [LogStream::Stdout, LogStream::Stderr][random.below(2)];
            let (a, b) = text.as_bytes().split_at(random.below(text.len()));
            log.write(stream, a).await;
            log.write(stream, b).await;
            number = until + 1;
            self.written.send_replace(until);
            tokio::task::yield_now().await;
        }
        sink.close().await.unwrap();
        let failure = Failure::Verdict {
            code: "build_failed".to_owned(),
            message: "it was only a test".to_owned(),
        };
        // Nobody is told: whoever ended it may have died before.
        let outcome = Outcome::Failed(failure);
        self.store
            .finish(&self.claim, self.deployment, outcome)
            .await
            .unwrap();
    }

    async fn follow(&self, cursor: usize) -> Follow {
        let follow = self
            .engine
            .follow(&self.actor, self.deployment, cursor as i64);
        follow.await.unwrap()
    }

    fn check(&self, next: &mut usize, event: Option<&Event>) {
        match event {
            Some(Event::Line(line)) => {
                assert_eq!(line.seq, *next as i64, "{line:?}");
                assert_eq!(line.text, self.line(*next));
                *next += 1;
            }
            Some(Event::Finished(deployment)) => {
                assert_eq!(deployment.status, DeploymentStatus::Failed);
                self.check_end(*next);
            }
            None => panic!("the deployment's end comes before"),
        }
    }

    fn check_end(&self, next: usize) {
        assert_eq!(next - 1, self.lines, "all lines come before the end");
    }

    fn check_what_is_held(&self, follow: &Follow) {
        let held = follow.held();
        assert!(held < LOG_READ_BYTES + MAX_LINE_BYTES, "holds {held} bytes");
    }
}

async fn follow_all(world: Arc<World>, number: u64, random: SeededEntropy) {
    // Two in ten are there from the start, the others come later.
    let mut written = world.written.subscribe();
    if number % 10 > 1 {
        let moment = random.below(world.lines);
        written
            .wait_for(|written| *written >= moment)
            .await
            .unwrap();
    }
    let cursor = random.below(*written.borrow() + 1);
    let leaves = random.below(world.lines);
    let (mut follow, mut next) = (world.follow(cursor).await, cursor + 1);
    loop {
        let event = match number % 10 {
            // Drops its calls, and so perhaps one that was about to give a line.
            3 | 4 => {
                let patience = Duration::from_micros(random.below(300) as u64);
                match tokio::time::timeout(patience, follow.try_next()).await {
                    Ok(event) => event,
                    Err(_) => continue,
                }
            }
            _ => follow.try_next().await,
        };
        let event = event.unwrap();
        world.check(&mut next, event.as_ref());
        assert_eq!(follow.cursor(), next as i64 - 1);
        if matches!(event, Some(Event::Finished(_))) {
            assert!(
                follow.try_next().await.unwrap().is_none(),
                "nothing after the end"
            );
            return;
        }
        match number {
            7 if next > leaves => return,
            // Goes away and comes back where it was.
            _ if number % 10 == 5 && random.below(500) == 0 => {
                follow = world.follow(follow.cursor() as usize).await;
            }
            _ if random.below(50) == 0 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}
