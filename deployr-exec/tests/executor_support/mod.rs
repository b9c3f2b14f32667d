#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code, of which each test file uses a part"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict};
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::log::LogWriter;
use deployr_core::model::{DeploymentId, HealthCheck, ProjectId, Recipe, ReleaseId, Runtime, Turn};
use deployr_core::system::{Clock, SystemClock, SystemEntropy, timestamp_from_micros};
use deployr_core::value::{BuildCommand, CommitId, EnvSet, Framework, OutputDir, Slug};
use deployr_exec::local::run::LocalExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers with the number of its release.
pub(crate) const SERVER: &str = "require('http').createServer((q, r) => { \
    r.statusCode = 200; r.end('release ' + process.env.DEPLOYR_RELEASE) \
    }).listen(process.env.PORT, process.env.HOST)";

/// A target of its own for each test; what it still runs at the end is killed.
pub(crate) struct Host {
    root: tempfile::TempDir,
    pub(crate) executor: LocalExecutor,
    pub(crate) slug: Slug,
}

impl Host {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let executor = LocalExecutor::new(root.path().join("sites"));
        Self {
            root,
            executor,
            slug: Slug::parse("shop").unwrap(),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.root.path().join("sites")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root().join("shop").join(below)
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// An artifact with these files.
    pub(crate) fn files(&self, files: &[(&str, &str)]) -> Artifact {
        let work = self.root.path().join("work");
        fs::create_dir_all(&work).unwrap();
        let folder = tempfile::Builder::new().tempdir_in(work).unwrap().keep();
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        self::folder(folder)
    }

    pub(crate) fn folder(&self, artifact: &Artifact) -> PathBuf {
        match &artifact.content {
            ArtifactContent::Folder(path) => path.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn site(&self, number: i64) -> ReleaseSpec {
        spec(number, Runtime::Static { single_page: false })
    }

    pub(crate) fn app(&self, number: i64, script: &str) -> ReleaseSpec {
        app(number, script)
    }

    pub(crate) fn sh(&self, number: i64, line: &str) -> ReleaseSpec {
        sh(number, line)
    }

    pub(crate) async fn deploy(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        turn: i64,
    ) -> StepResult<Endpoint> {
        deploy(&self.executor, spec, artifact, turn, 4).await
    }

    pub(crate) async fn get(&self, endpoint: &Endpoint) -> String {
        let Endpoint::Http { address } = endpoint else {
            panic!("{endpoint:?}")
        };
        get(*address).await.unwrap()
    }

    pub(crate) async fn get_when_up(&self, endpoint: &Endpoint) -> String {
        let Endpoint::Http { address } = endpoint else {
            panic!("{endpoint:?}")
        };
        for _ in 0..500 {
            if let Ok(answer) = get(*address).await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{address} never came up")
    }

    /// All processes that this target has started and that have not ended.
    pub(crate) fn living(&self) -> Vec<i32> {
        let mark = format!("DEPLOYR_RUN={}", self.root().display());
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(|&pid| {
                let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                alive(pid)
                    && env
                        .split(|&b| b == 0)
                        .any(|var| var.starts_with(mark.as_bytes()))
            })
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.living().into_iter().for_each(kill);
    }
}

pub(crate) fn folder(path: impl Into<PathBuf>) -> Artifact {
    let content = ArtifactContent::Folder(path.into());
    Artifact {
        content,
        digest: "sha256:0".into(),
        bytes: 0,
    }
}

pub(crate) fn app(number: i64, script: &str) -> ReleaseSpec {
    sh(number, &format!("node -e \"{script}\""))
}

fn sh(number: i64, line: &str) -> ReleaseSpec {
    spec(
        number,
        Runtime::Process {
            start: BuildCommand::parse(line).unwrap(),
        },
    )
}

fn spec(number: i64, runtime: Runtime) -> ReleaseSpec {
    // The same release for the same number, as out of a store.
    let release = ReleaseId::new(timestamp_from_micros(number * 1_000_000), &Zeros);
    ReleaseSpec {
        project: ProjectId::new(timestamp_from_micros(0), &Zeros),
        slug: Slug::parse("shop").unwrap(),
        release,
        number,
        commit: CommitId::parse("0".repeat(40)).unwrap(),
        recipe: Recipe {
            framework: Framework::parse("test").unwrap(),
            root: None,
            commands: Vec::new(),
            output: OutputDir::parse(".").unwrap(),
            runtime,
            health: HealthCheck::default(),
            shared: Vec::new(),
            writable: Vec::new(),
            on_target: Default::default(),
            images: Default::default(),
        },
        env: EnvSet::new(),
    }
}

/// The first so many steps of a deployment.
pub(crate) async fn deploy(
    executor: &LocalExecutor,
    spec: &ReleaseSpec,
    artifact: &Artifact,
    turn: i64,
    steps: u32,
) -> StepResult<Endpoint> {
    let ctx = context();
    executor.prepare(spec, artifact, &ctx).await?;
    let endpoint = match steps {
        1 => {
            return Ok(Endpoint::Folder {
                path: PathBuf::new(),
                single_page: false,
            });
        }
        _ => executor.start(spec, &ctx).await?,
    };
    if steps > 2 {
        executor.verify(spec, &endpoint, &ctx).await?;
    }
    if steps > 3 {
        executor.switch(spec, Turn::new(turn, 1), &ctx).await?;
    }
    Ok(endpoint)
}

#[derive(Debug)]
struct Zeros;

impl deployr_core::system::Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

pub(crate) fn context() -> StepContext {
    StepContext {
        deployment: DeploymentId::new(SystemClock.now(), &SystemEntropy),
        attempt: 1,
        cancel: Default::default(),
        handed_over: Default::default(),
        log: LogWriter::discard(),
    }
}

pub(crate) fn expect_verdict<T: std::fmt::Debug>(result: StepResult<T>) -> Verdict {
    match result {
        Err(StepError::Verdict(verdict)) => verdict,
        other => panic!("no verdict but {other:?}"),
    }
}

pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "did not come about"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn kill(pid: i32) {
    use nix::sys::signal::{Signal, kill};
    // It may have ended by itself.
    let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
}

async fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    // Without a length, node sends chunks: `9\r\nrelease 1\r\n0\r\n`.
    let text = body
        .lines()
        .find(|line| line.contains("release"))
        .unwrap_or(body);
    Ok(text.to_owned())
}
