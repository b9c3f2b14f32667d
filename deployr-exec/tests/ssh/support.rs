use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use deployr_core::builder::Artifact;
use deployr_core::context::StepContext;
use deployr_core::error::StepResult;
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::log::LogWriter;
use deployr_core::model::{DeploymentId, Runtime, Turn};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::BuildCommand;
use deployr_exec::ssh::{SshExecutor, SshTarget};
use deployr_testkit::ssh::Sshd;
use tempfile::TempDir;

pub(crate) use crate::remote::*;

/// Answers with the number of its release.
pub(crate) const SERVER: &str = "exec node -e \"require('http').createServer((q, r) => \
    r.end('release ' + process.env.DEPLOYR_RELEASE)).listen(process.env.PORT, process.env.HOST)\"";

/// For a host to answer: short, as some of them are made not to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// A host of its own for each test.
pub(crate) struct Lab {
    pub(crate) sshd: Sshd,
    pub(crate) executor: SshExecutor,
    pub(crate) work: TempDir,
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

    /// The command lines of all that runs on the host.
    pub(crate) fn command_lines(&self) -> String {
        let line = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let lines = self.sshd.processes().into_iter().flat_map(line);
        String::from_utf8_lossy(&lines.collect::<Vec<u8>>()).into_owned()
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

pub(crate) fn site(number: i64) -> ReleaseSpec {
    release(number, Runtime::Static { single_page: false })
}

pub(crate) fn app(number: i64, line: &str) -> ReleaseSpec {
    let start = BuildCommand::parse(line).unwrap();
    release(number, Runtime::Process { start })
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

pub(crate) fn context() -> StepContext {
    StepContext {
        deployment: DeploymentId::new(SystemClock.now(), &SystemEntropy),
        attempt: 1,
        cancel: Default::default(),
        handed_over: Default::default(),
        log: LogWriter::discard(),
    }
}

pub(crate) async fn get(endpoint: &Endpoint) -> Result<String, String> {
    let Endpoint::Http { address } = *endpoint else {
        panic!("{endpoint:?}")
    };
    let get = move || deployr_core::testing::ingress::http_get(address, "shop.localhost");
    tokio::task::spawn_blocking(get).await.unwrap()
}
