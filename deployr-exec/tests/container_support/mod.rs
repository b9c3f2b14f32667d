//! Releases of an engine's tests, and how they are asked.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod cut;
pub(crate) mod load;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, Verdict};
use deployr_core::executor::{Endpoint, Executor, ReleaseSpec};
use deployr_core::model::{HealthCheck, ProjectId, Recipe, ReleaseId, Runtime, Turn};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::RecordedStep;
use deployr_core::testing::ingress::http_get;
use deployr_core::value::{
    BuildCommand, CommitId, DrainTime, EnvName, EnvSet, EnvValue, Framework, HealthDeadline,
    HealthInterval, OutputDir, Slug,
};
use deployr_testkit::docker::Docker;

/// A release that answers with its files.
pub(crate) const SERVER: &str = "exec httpd -f -p $PORT";

pub(crate) async fn deploy(
    executor: &dyn Executor,
    spec: &ReleaseSpec,
    artifact: &Artifact,
    turn: i64,
) -> StepResult<SocketAddr> {
    let step = RecordedStep::new();
    executor.prepare(spec, artifact, &step.ctx).await?;
    let endpoint = executor.start(spec, &step.ctx).await?;
    executor.verify(spec, &endpoint, &step.ctx).await?;
    executor.switch(spec, Turn::new(turn, 1), &step.ctx).await?;
    Ok(address(&endpoint))
}

pub(crate) fn address(endpoint: &Endpoint) -> SocketAddr {
    match endpoint {
        Endpoint::Http { address } => *address,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn artifact(content: ArtifactContent) -> Artifact {
    Artifact {
        content,
        digest: format!("sha256:{:064x}", 7),
        bytes: 7,
    }
}

pub(crate) fn spec(number: i64, line: &str) -> ReleaseSpec {
    let start = BuildCommand::parse(line).unwrap();
    ReleaseSpec {
        project: ProjectId::new(SystemClock.now(), &SystemEntropy),
        slug: Slug::parse("shop").unwrap(),
        release: ReleaseId::new(SystemClock.now(), &SystemEntropy),
        number,
        commit: CommitId::parse("0123456789abcdef0123456789abcdef01234567").unwrap(),
        recipe: Recipe {
            framework: Framework::parse("node").unwrap(),
            root: None,
            commands: Vec::new(),
            output: OutputDir::parse(".").unwrap(),
            runtime: Runtime::Process { start },
            health: HealthCheck {
                interval_ms: HealthInterval::new(50).unwrap(),
                drain_ms: DrainTime::new(500).unwrap(),
                ..HealthCheck::default()
            },
            shared: Vec::new(),
            writable: Vec::new(),
            on_target: Default::default(),
            images: Default::default(),
        },
        env: EnvSet::default(),
    }
}

pub(crate) fn set(spec: &mut ReleaseSpec, name: &str, value: &str) {
    let (name, value) = (EnvName::parse(name), EnvValue::parse(value));
    spec.env.insert(name.unwrap(), value.unwrap()).unwrap();
}

pub(crate) fn within(spec: &mut ReleaseSpec, deadline: Duration) {
    let millis = deadline.as_millis() as u64;
    spec.recipe.health.deadline_ms = HealthDeadline::new(millis).unwrap();
}

#[track_caller]
pub(crate) fn verdict<T: std::fmt::Debug>(answer: StepResult<T>) -> Verdict {
    match answer {
        Err(StepError::Verdict(verdict)) => verdict,
        other => panic!("must be a verdict, not {other:?}"),
    }
}

#[track_caller]
pub(crate) fn fault<T: std::fmt::Debug>(answer: StepResult<T>) -> Fault {
    match answer {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("must be a fault, not {other:?}"),
    }
}

/// An engine that a test may stop: those that share the other want it to stay.
pub(crate) fn own_engine() -> &'static Docker {
    static ENGINE: OnceLock<Docker> = OnceLock::new();
    ENGINE.get_or_init(Docker::start)
}

pub(crate) async fn get(address: SocketAddr) -> Result<String, String> {
    let get = move || http_get(address, &address.to_string());
    tokio::task::spawn_blocking(get).await.unwrap()
}

/// Waits until it says so.
pub(crate) async fn says(address: SocketAddr, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = get(address).await;
        if answer.as_deref() == Ok(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "`{wanted}`, not {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
