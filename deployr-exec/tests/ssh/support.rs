use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::log::LogWriter;
use deployr_core::model::{DeploymentId, HealthCheck, ProjectId, Recipe, ReleaseId, Runtime, Turn};
use deployr_core::system::{Clock, Entropy, SystemClock, SystemEntropy, timestamp_from_micros};
use deployr_core::value::{BuildCommand, CommitId, EnvSet, Framework, OutputDir, RelPath, Slug};
use deployr_exec::ssh::{SshExecutor, SshTarget};
use deployr_testkit::ssh::Sshd;
use tempfile::TempDir;

/// Answers with the number of its release.
pub(crate) const SERVER: &str = "exec node -e \"require('http').createServer((q, r) => \
    r.end('release ' + process.env.DEPLOYR_RELEASE)).listen(process.env.PORT, process.env.HOST)\"";

/// For a host to answer: short, as some of them are made not to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// A host of its own for each test.
pub(crate) struct Lab {
    pub(crate) sshd: Sshd,
    pub(crate) executor: SshExecutor,
    work: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::on(Sshd::start())
    }

    pub(crate) fn on(sshd: Sshd) -> Self {
        let executor = SshExecutor::new(target(&sshd)).unwrap().patience(PATIENCE);
        Self {
            sshd,
            executor,
            work: tempfile::tempdir().unwrap(),
        }
    }

    /// A path below the project's folder on the host.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        path(&self.sshd, below)
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// An artifact with these files.
    pub(crate) fn files(&self, files: &[(&str, &str)]) -> Artifact {
        artifact(self.work.path(), files)
    }

    pub(crate) async fn deploy(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
    ) -> StepResult<Endpoint> {
        deploy(&self.executor, spec, artifact, &context()).await
    }
}

pub(crate) fn path(sshd: &Sshd, below: &str) -> PathBuf {
    sshd.home().join("sites/shop").join(below)
}

pub(crate) fn target(sshd: &Sshd) -> SshTarget {
    let mut target = SshTarget::new("127.0.0.1", "sites").unwrap();
    target.port = sshd.port();
    target.user = Some(Sshd::user());
    target.host_key = Some(sshd.host_key());
    target.key = Some(sshd.key());
    target.address = Some([127, 0, 0, 1].into());
    target
}

pub(crate) fn artifact(work: &Path, files: &[(&str, &str)]) -> Artifact {
    let folder = tempfile::Builder::new().tempdir_in(work).unwrap().keep();
    for (name, text) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    Artifact {
        content: ArtifactContent::Folder(folder),
        digest: "sha256:0".into(),
        bytes: 0,
    }
}

pub(crate) fn folder(artifact: &Artifact) -> &Path {
    match &artifact.content {
        ArtifactContent::Folder(path) => path,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn site(number: i64) -> ReleaseSpec {
    spec(number, Runtime::Static { single_page: false })
}

pub(crate) fn app(number: i64, line: &str) -> ReleaseSpec {
    let start = BuildCommand::parse(line).unwrap();
    spec(number, Runtime::Process { start })
}

fn spec(number: i64, runtime: Runtime) -> ReleaseSpec {
    // The same release for the same number, as out of a store.
    let release = ReleaseId::new(timestamp_from_micros(number * 1_000_000), &Zeros);
    ReleaseSpec {
        project: ProjectId::new(timestamp_from_micros(0), &Zeros),
        slug: Slug::parse("shop").unwrap(),
        release,
        number,
        commit: CommitId::parse(COMMIT).unwrap(),
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

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) fn paths(paths: &[&str]) -> Vec<RelPath> {
    paths
        .iter()
        .map(|path| RelPath::parse(path).unwrap())
        .collect()
}

/// All steps of a deployment, whose number is that of the release.
pub(crate) async fn deploy(
    executor: &SshExecutor,
    spec: &ReleaseSpec,
    artifact: &Artifact,
    ctx: &StepContext,
) -> StepResult<Endpoint> {
    executor.prepare(spec, artifact, ctx).await?;
    let endpoint = executor.start(spec, ctx).await?;
    executor.verify(spec, &endpoint, ctx).await?;
    executor
        .switch(spec, Turn::new(spec.number, ctx.attempt), ctx)
        .await?;
    Ok(endpoint)
}

#[derive(Debug)]
struct Zeros;

impl Entropy for Zeros {
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

pub(crate) fn expect_fault<T: std::fmt::Debug>(result: StepResult<T>) -> Fault {
    match result {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("no fault but {other:?}"),
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} did not come about"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn get(endpoint: &Endpoint) -> Result<String, String> {
    let Endpoint::Http { address } = *endpoint else {
        panic!("{endpoint:?}")
    };
    let get = move || deployr_core::testing::ingress::http_get(address, "shop.localhost");
    tokio::task::spawn_blocking(get).await.unwrap()
}
