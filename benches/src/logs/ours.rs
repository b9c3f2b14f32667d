//! Ours: what a build prints goes through a `LogSink` into the store, under a claim,
//! and comes out of `Engine::follow`, on the same node or on another.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deployr_core::bus::{EventBus, Hint, LocalBus};
use deployr_core::engine::{DeployRequest, Engine, Event, Follow, ProjectRequest};
use deployr_core::log::{LogLimits, LogSink, LogStream, LogTarget, Redactor};
use deployr_core::model::{Actor, DeploymentId, Labels, WorkerId};
use deployr_core::store::{ClaimRequest, NewLine, Store};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{GitUrl, JobKind, Label, TenantId};
use deployr_store::{PgStore, SqliteStore};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{BURST, TICK, delays};
use crate::Error;
use crate::engine::engine;

/// In what pieces the builder reads a command's output.
const PIECE: usize = 32 << 10;

/// How long `output` takes until all of it is durable and the follower has seen the
/// last of its lines.
pub(crate) fn throughput(place: &Place, output: &str, lines: usize) -> Result<Duration, Error> {
    Runtime::new()?.block_on(async {
        let build = Build::start(place).await?;
        let sink = build.sink();
        let follower = build.follow(lines).await?;
        let started = Instant::now();
        let log = sink.writer();
        for piece in output.as_bytes().chunks(PIECE) {
            log.write(LogStream::Stdout, piece).await;
        }
        sink.close().await?;
        let last = follower.await??.last;
        let took = started.elapsed();
        if !output.trim_end().ends_with(&last) {
            return Err(format!("the wrong last line: {last}").into());
        }
        Ok(took)
    })
}

/// How long each line takes from its write to its arrival at the follower.
pub(crate) fn follow(place: &Place, lines: &[String]) -> Result<Vec<Duration>, Error> {
    Runtime::new()?.block_on(async {
        let build = Build::start(place).await?;
        let sink = build.sink();
        let follower = build.follow(lines.len()).await?;
        let log = sink.writer();
        let mut written = Vec::with_capacity(lines.len());
        let mut ticks = tokio::time::interval(TICK);
        for burst in lines.chunks(BURST) {
            ticks.tick().await;
            for line in burst {
                let bytes = format!("{line}\n");
                written.push(Instant::now());
                log.write(LogStream::Stdout, bytes.as_bytes()).await;
            }
        }
        sink.close().await?;
        Ok(delays(&written, &follower.await??.at))
    })
}

/// How long each call that appends lines takes, `BURST` at a time, while `followers` read them;
/// one more follower does not, if it is `stalled`.
pub(super) fn append(
    lines: &[String],
    followers: usize,
    stalled: bool,
) -> Result<Vec<Duration>, Error> {
    Runtime::new()?.block_on(async {
        let build = Build::start(&Place::Sqlite).await?;
        let mut readers = Vec::new();
        for _ in 0..followers {
            readers.push(build.follow(lines.len()).await?);
        }
        let idle = match stalled {
            true => Some(
                build
                    .engine
                    .follow(&build.actor, build.deployment, 0)
                    .await?,
            ),
            false => None,
        };
        let LogTarget {
            store,
            bus,
            claim,
            deployment,
            ..
        } = &build.target;
        let (mut took, mut next) = (Vec::new(), 1);
        let mut ticks = tokio::time::interval(TICK);
        for burst in lines.chunks(BURST) {
            ticks.tick().await;
            let new = burst.iter().map(|text| NewLine {
                at: SystemClock.now(),
                stream: LogStream::Stdout,
                text: text.clone(),
            });
            let new = new.collect();
            let began = Instant::now();
            next = store.append_log(claim, *deployment, next, new).await?;
            took.push(began.elapsed());
            bus.publish(Hint::Deployment(*deployment));
        }
        for reader in readers {
            reader.await??;
        }
        drop(idle);
        Ok(took)
    })
}

/// Where the lines are kept.
pub(crate) enum Place {
    /// A new file, for one node.
    Sqlite,
    /// The database of that URL, for two.
    Postgres(String),
}

/// A store, and how its changes are told.
type Node = (Arc<dyn Store>, Arc<dyn EventBus>);

impl Place {
    /// The node of the builder, and that of the follower.
    async fn nodes(&self, folder: &Path) -> Result<(Node, Node), Error> {
        match self {
            Self::Sqlite => {
                let store = Arc::new(SqliteStore::open(folder.join("deployr.db")).await?);
                let bus = Arc::new(LocalBus::default());
                Ok(((store.clone(), bus.clone()), (store, bus)))
            }
            Self::Postgres(url) => Ok((postgres(url).await?, postgres(url).await?)),
        }
    }
}

async fn postgres(url: &str) -> Result<Node, Error> {
    let store = PgStore::open(url).await?;
    let bus = store.bus().await?;
    Ok((Arc::new(store), Arc::new(bus)))
}

/// A deployment in the hands of a worker.
struct Build {
    /// Of the follower's node.
    engine: Engine,
    actor: Actor,
    deployment: DeploymentId,
    target: LogTarget,
    _folder: TempDir,
}

impl Build {
    async fn start(place: &Place) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let ((store, bus), (there, bus_there)) = place.nodes(folder.path()).await?;
        let engine = engine(there, bus_there, folder.path())?.build()?;
        let actor = Actor::new(TenantId::parse("acme")?, "bench");
        let url = GitUrl::parse("https://git.example.com/acme/blog.git")?;
        let project = engine
            .create_project(&actor, ProjectRequest::new("blog", url)?)
            .await?;
        let deployment = engine
            .deploy(&actor, project.id, DeployRequest::branch("main")?)
            .await?
            .id;
        let request = ClaimRequest {
            worker: WorkerId::new(SystemClock.now(), &SystemEntropy),
            kinds: vec![JobKind::parse("deploy")?],
            limit: 1,
            offers: Labels::from([Label::target(&project.settings.target)]),
            term: Duration::from_secs(600),
        };
        let lease = store
            .claim(request)
            .await?
            .pop()
            .ok_or("nothing to claim")?;
        let target = LogTarget {
            store,
            bus,
            clock: Arc::new(SystemClock),
            claim: lease.claim,
            deployment,
            lost: CancellationToken::new(),
            trouble: Arc::default(),
        };
        Ok(Self {
            engine,
            actor,
            deployment,
            target,
            _folder: folder,
        })
    }

    /// Its log, to be written from the first line on.
    fn sink(&self) -> LogSink {
        let secrets: Vec<String> = (1..=10)
            .map(|n| format!("s{n}_{}", "kT9vQ2/xW7".repeat(n % 4 + 1)))
            .collect();
        let redactor = Arc::new(Redactor::new(secrets.iter().map(String::as_str)));
        // A round is longer than the log of one deployment may be.
        let limits = LogLimits {
            total: 1 << 30,
            ..LogLimits::default()
        };
        LogSink::start(self.target.clone(), 1, redactor, limits)
    }

    /// Follows the log, in a task of its own, to its line `count`.
    async fn follow(&self, count: usize) -> Result<Follower, Error> {
        let follow = self.engine.follow(&self.actor, self.deployment, 0).await?;
        Ok(tokio::spawn(collect(follow, count)))
    }
}

type Follower = tokio::task::JoinHandle<Result<Arrived, String>>;

/// What a follower has seen.
struct Arrived {
    at: Vec<Instant>,
    last: String,
}

async fn collect(mut follow: Follow, count: usize) -> Result<Arrived, String> {
    let mut arrived = Arrived {
        at: Vec::with_capacity(count),
        last: String::new(),
    };
    while arrived.at.len() < count {
        match follow.try_next().await {
            Ok(Some(Event::Line(line))) if line.seq == arrived.at.len() as i64 + 1 => {
                arrived.at.push(Instant::now());
                arrived.last = line.text;
            }
            other => return Err(format!("expected line {}: {other:?}", arrived.at.len() + 1)),
        }
    }
    Ok(arrived)
}
