//! A release that is replaced on a Docker engine, and gone back to, beside the script that people
//! write for it. Both have the same image, which is there, and the same server in it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::context::StepContext;
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::log::LogWriter;
use deployr_core::model::{
    DeploymentId, HealthCheck, ProjectId, Recipe, ReleaseId, Runtime as Runs, Turn,
};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{BuildCommand, CommitId, EnvSet, Framework, OutputDir, Slug};
use deployr_exec::DockerExecutor;
use deployr_exec::ingress::BuiltinIngress;
use deployr_testkit::docker::Docker;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::report::{Goal, Row};
use crate::side_by_side::{Case, median, rounds};
use crate::{Error, Rows};

const BENCH: &str = "docker";
/// Answers with a line, and ends when it is asked to.
const SERVER: &str = "mkdir /tmp/site; echo it is up >/tmp/site/index.html; \
                      exec httpd -f -p $PORT -h /tmp/site";
/// How many redeployments are taken for one figure.
const A_ROUND: usize = 4;

pub(crate) fn run() -> Rows {
    let runtime = Runtime::new()?;
    let docker = Docker::start();
    let ours = Site::open(&runtime, &docker)?;
    let script = Script::open(&docker)?;
    let mut rows = redeploys(&ours, &script)?;
    rows.push(rollback(&ours, &script)?);
    Ok(rows)
}

/// From the call until the ingress leads to the new release, and until the old one has ended.
fn redeploys(ours: &Site<'_>, script: &Script) -> Result<Vec<Row>, Error> {
    let case = |case: &str, goal| Case {
        bench: BENCH,
        case: case.to_owned(),
        unit: "ms",
        goal,
    };
    let mut figures: [Vec<f64>; 4] = Default::default();
    ours.redeploy()?;
    script.redeploy()?;
    for round in 0..rounds() * A_ROUND {
        let mut both: [Option<Took>; 2] = [None, None];
        for side in [round % 2, (round + 1) % 2] {
            both[side] = Some(match side {
                0 => ours.redeploy()?,
                _ => script.redeploy()?,
            });
        }
        for (side, took) in both.into_iter().flatten().enumerate() {
            figures[2 * side].push(took.switched);
            figures[2 * side + 1].push(took.all);
        }
    }
    let [our_switched, our_all, their_switched, their_all] = figures.map(median);
    Ok(vec![
        case("redeploy-vs-script", Goal::RatioAtMost(1.1)).row(our_all, their_all),
        case("switched-vs-healthy", Goal::RatioAtMost(1.1)).row(our_switched, their_switched),
    ])
}

/// To the release before, which is kept, until the ingress leads to it.
fn rollback(ours: &Site<'_>, script: &Script) -> Result<Row, Error> {
    Case {
        bench: BENCH,
        case: "rollback".to_owned(),
        unit: "ms",
        goal: Goal::OursAtMost(1_000.0),
    }
    .measure(
        || Ok(ours.roll_back()?.switched),
        || Ok(script.roll_back()?.switched),
    )
}

/// In milliseconds from the call.
struct Took {
    /// Until requests go to, or could go to, the new release.
    switched: f64,
    /// Until the old one has ended, too.
    all: f64,
}

/// Ours: the steps of a deployment, with the ingress, as the engine makes them.
struct Site<'r> {
    runtime: &'r Runtime,
    executor: DockerExecutor,
    ingress: BuiltinIngress,
    image: String,
    /// The releases that there were.
    made: std::cell::RefCell<Vec<ReleaseSpec>>,
    present: Cell<i64>,
    turn: Cell<i64>,
    _folder: TempDir,
}

impl<'r> Site<'r> {
    fn open(runtime: &'r Runtime, docker: &Docker) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let executor = DockerExecutor::new(folder.path().join("target")).socket(docker.socket());
        let address = "127.0.0.1:0".parse()?;
        Ok(Self {
            runtime,
            executor,
            ingress: runtime.block_on(BuiltinIngress::bind(address))?,
            image: docker.run(&["images", "--quiet", "--no-trunc", docker.busybox()]),
            made: Default::default(),
            present: Cell::new(0),
            turn: Cell::new(0),
            _folder: folder,
        })
    }

    fn redeploy(&self) -> Result<Took, Error> {
        let spec = spec(self.made.borrow().len() as i64 + 1)?;
        self.made.borrow_mut().push(spec.clone());
        let artifact = Artifact {
            content: ArtifactContent::Image(self.image.clone()),
            digest: self.image.clone(),
            bytes: 0,
        };
        self.go_live(&spec, Some(&artifact))
    }

    /// To the newest or the one before, whichever is not there.
    fn roll_back(&self) -> Result<Took, Error> {
        let newest = self.made.borrow().len() as i64;
        let wanted = if self.present.get() == newest {
            newest - 1
        } else {
            newest
        };
        let made = self.made.borrow();
        let spec = made.iter().find(|spec| spec.number == wanted);
        self.go_live(spec.ok_or("there are no two releases")?, None)
    }

    fn go_live(&self, spec: &ReleaseSpec, artifact: Option<&Artifact>) -> Result<Took, Error> {
        let (executor, ingress, slug) = (&self.executor, &self.ingress, &spec.slug);
        self.turn.set(self.turn.get() + 1);
        let turn = Turn::new(self.turn.get(), 1);
        let ctx = StepContext {
            deployment: DeploymentId::new(SystemClock.now(), &SystemEntropy),
            attempt: 1,
            cancel: Default::default(),
            handed_over: Default::default(),
            log: LogWriter::discard(),
        };
        let before = self.present.replace(spec.number);
        let began = Instant::now();
        self.runtime.block_on(async {
            if let Some(artifact) = artifact {
                executor.prepare(spec, artifact, &ctx).await?;
            }
            let endpoint = executor.start(spec, &ctx).await?;
            executor.verify(spec, &endpoint, &ctx).await?;
            executor.switch(spec, turn, &ctx).await?;
            ingress.route(route(spec, endpoint, turn)).await?;
            let switched = millis(began);
            ingress.drain(slug, Duration::from_secs(5)).await?;
            executor
                .retire(slug, before, Duration::from_secs(10))
                .await?;
            let all = millis(began);
            let newest = self.made.borrow().len() as i64;
            executor.prune(slug, &[newest - 1, newest]).await?;
            Ok(Took { switched, all })
        })
    }
}

fn route(spec: &ReleaseSpec, endpoint: Endpoint, turn: Turn) -> Route {
    Route {
        slug: spec.slug.clone(),
        release: spec.number,
        endpoint,
        domains: Vec::new(),
        turn,
    }
}

fn spec(number: i64) -> Result<ReleaseSpec, Error> {
    Ok(ReleaseSpec {
        project: ProjectId::new(SystemClock.now(), &SystemEntropy),
        slug: Slug::parse("site")?,
        release: ReleaseId::new(SystemClock.now(), &SystemEntropy),
        number,
        commit: CommitId::parse("0123456789abcdef0123456789abcdef01234567")?,
        recipe: Recipe {
            framework: Framework::parse("docker")?,
            root: None,
            commands: Vec::new(),
            output: OutputDir::parse(".")?,
            runtime: Runs::Process {
                start: BuildCommand::parse(SERVER)?,
            },
            health: HealthCheck::default(),
            shared: Vec::new(),
            writable: Vec::new(),
            on_target: Default::default(),
            images: Default::default(),
        },
        env: EnvSet::new(),
    })
}

/// The reference: run the new one, ask it until it answers, stop the old one. It knows which
/// addresses are free, limits nothing, checks nothing, keeps no log, and leaves the containers
/// behind.
struct Script {
    socket: String,
    image: String,
    /// All but the last part of the addresses of its network.
    net: String,
    made: Cell<u8>,
    present: Cell<u8>,
}

const REDEPLOY: &str = "docker run --detach --init --name site-$2 --network site --ip $1.$2 \
                        --env PORT=8080 \"$4\" /bin/sh -c \"$5\"";
const ROLL_BACK: &str = "docker start site-$2";
const THEN: &str = ">/dev/null || exit
until curl --silent --fail --output /dev/null http://$1.$2:8080/; do sleep 0.02; done
date +%s%N
docker stop site-$3 >/dev/null";

impl Script {
    fn open(docker: &Docker) -> Result<Self, Error> {
        // Docker gives addresses by wish only where the range is somebody's choice.
        docker.run(&["network", "create", "site"]);
        let range = "{{(index .IPAM.Config 0).Subnet}}";
        let range = docker.run(&["network", "inspect", "--format", range, "site"]);
        docker.run(&["network", "rm", "site"]);
        docker.run(&["network", "create", "--subnet", &range, "site"]);
        let (net, _) = range.rsplit_once('.').ok_or("a range of addresses")?;
        let script = Self {
            socket: path(&docker.socket())?,
            image: docker.busybox().to_owned(),
            net: net.to_owned(),
            made: Cell::new(10),
            present: Cell::new(10),
        };
        let address: SocketAddr = format!("{net}.10:8080").parse()?;
        docker.run(&[
            "run",
            "--detach",
            "--init",
            "--name",
            "site-10",
            "--network",
            "site",
            "--ip",
            &address.ip().to_string(),
            "--env",
            "PORT=8080",
            &script.image,
            "/bin/sh",
            "-c",
            SERVER,
        ]);
        Ok(script)
    }

    fn redeploy(&self) -> Result<Took, Error> {
        self.made.set(self.made.get() + 1);
        self.run(REDEPLOY, self.made.get())
    }

    fn roll_back(&self) -> Result<Took, Error> {
        let newest = self.made.get();
        let wanted = newest - u8::from(self.present.get() == newest);
        self.run(ROLL_BACK, wanted)
    }

    fn run(&self, first: &str, wanted: u8) -> Result<Took, Error> {
        let mut script = Command::new("sh");
        script
            .args(["-c", &format!("{first} {THEN}"), "redeploy", &self.net])
            .arg(wanted.to_string())
            .arg(self.present.replace(wanted).to_string())
            .args([&self.image, SERVER])
            .env("DOCKER_HOST", format!("unix://{}", self.socket));
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let began = Instant::now();
        let output = script.output()?;
        let all = millis(began);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("the script failed: {said}").into());
        }
        let healthy: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
        let switched = Duration::from_nanos(healthy).saturating_sub(at);
        Ok(Took {
            switched: switched.as_secs_f64() * 1e3,
            all,
        })
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn path(path: &Path) -> Result<String, Error> {
    Ok(path.to_str().ok_or("a path in UTF-8")?.to_owned())
}
