use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use deployr_core::builder::Artifact;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict};
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::model::{HealthCheck, Runtime, Turn};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, EnvName, EnvValue, HealthDeadline, HealthInterval};
use deployr_exec::cpanel::{CpanelExecutor, CpanelTarget, Site, Token};
use deployr_testkit::cpanel::Cpanel;
use tempfile::TempDir;

pub(crate) use crate::remote::*;

pub(crate) const DOMAIN: &str = "shop.example.com";

/// An account of its own for each test, with the project `shop` on it.
pub(crate) struct Lab {
    pub(crate) account: Cpanel,
    pub(crate) executor: CpanelExecutor,
    pub(crate) work: TempDir,
}

impl Lab {
    /// One that is visited at [`DOMAIN`].
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Site)) -> Self {
        let account = Cpanel::start();
        let mut target = target(&account);
        let mut site = site_at(&account, DOMAIN);
        change(&mut site);
        target.sites.insert("shop".to_owned(), site);
        Self {
            executor: CpanelExecutor::new(target).unwrap(),
            account,
            work: tempfile::tempdir().unwrap(),
        }
    }

    /// One that nobody visits.
    pub(crate) fn unvisited() -> Self {
        Self::with(|site| *site = Site::default())
    }

    /// A path below the project's folder on the account.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.account.home().join("deployr/shop").join(below)
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    pub(crate) fn files(&self, files: &[(&str, &str)]) -> Artifact {
        artifact(self.work.path(), files)
    }

    /// All steps of a deployment, whose number is that of the release.
    pub(crate) async fn deploy(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
    ) -> StepResult<Endpoint> {
        self.deploy_told(spec, artifact, &RecordedStep::new().ctx)
            .await
    }

    pub(crate) async fn deploy_told(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<Endpoint> {
        self.executor.prepare(spec, artifact, ctx).await?;
        let endpoint = self.executor.start(spec, ctx).await?;
        self.executor.verify(spec, &endpoint, ctx).await?;
        self.executor
            .switch(spec, Turn::new(spec.number, 1), ctx)
            .await?;
        Ok(endpoint)
    }

    /// What a visitor gets.
    pub(crate) fn visit(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.account.web()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }
}

pub(crate) fn target(account: &Cpanel) -> CpanelTarget {
    let token = Token::new(Cpanel::token());
    let mut target = CpanelTarget::new("127.0.0.1", Cpanel::user(), token).unwrap();
    target.port = account.port();
    target.certificate = Some(Cpanel::authority().to_owned());
    target
}

pub(crate) fn site_at(account: &Cpanel, domain: &str) -> Site {
    Site {
        domain: Some(domain.to_owned()),
        plain_http: true,
        web_server: Some(account.web()),
        ..Site::default()
    }
}

pub(crate) fn site(number: i64) -> ReleaseSpec {
    spec(number, Runtime::Static { single_page: false })
}

pub(crate) fn app(number: i64) -> ReleaseSpec {
    let start = BuildCommand::parse("node app.js").unwrap();
    spec(number, Runtime::Process { start })
}

fn spec(number: i64, runtime: Runtime) -> ReleaseSpec {
    let mut spec = release(number, runtime);
    spec.recipe.health = HealthCheck {
        interval_ms: HealthInterval::new(50).unwrap(),
        deadline_ms: HealthDeadline::new(20_000).unwrap(),
        ..HealthCheck::default()
    };
    spec
}

pub(crate) fn impatient(mut spec: ReleaseSpec) -> ReleaseSpec {
    spec.recipe.health.deadline_ms = HealthDeadline::new(300).unwrap();
    spec
}

pub(crate) fn with_env(mut spec: ReleaseSpec, name: &str, value: &str) -> ReleaseSpec {
    let (name, value) = (
        EnvName::parse(name).unwrap(),
        EnvValue::parse(value).unwrap(),
    );
    spec.env.insert(name, value).unwrap();
    spec
}

pub(crate) fn context() -> StepContext {
    RecordedStep::new().ctx
}

pub(crate) fn expect_verdict<T: std::fmt::Debug>(result: StepResult<T>) -> Verdict {
    match result {
        Err(StepError::Verdict(verdict)) => verdict,
        other => panic!("no verdict but {other:?}"),
    }
}

/// The executor for an account whose host answers slowly.
pub(crate) fn hasty(lab: &Lab) -> CpanelExecutor {
    lab.executor.clone().patience(Duration::from_millis(200))
}

/// All that a step has said.
pub(crate) async fn said(step: &RecordedStep) -> String {
    let lines = step.lines().await;
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    lines.join("\n")
}
