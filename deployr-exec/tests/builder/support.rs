use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deployr_core::builder::{Artifact, ArtifactContent, BuildSpec, Builder, Workspace};
use deployr_core::bus::LocalBus;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict};
use deployr_core::log::{LogLimits, LogLine, LogSink, LogTarget, Redactor};
use deployr_core::model::{
    Claim, DeploymentId, Fence, HealthCheck, JobId, ProjectId, Recipe, Runtime, WorkerId,
};
use deployr_core::store::{Logs, NewLine, StoreResult};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{
    BuildCommand, EnvName, EnvSet, EnvValue, Framework, OutputDir, TenantId,
};
use deployr_exec::local::build::LocalBuilder;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Keeps the first lines, and counts the bytes of all.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    kept: Mutex<Vec<String>>,
    pub(crate) bytes: AtomicUsize,
}

#[async_trait]
impl Logs for Lines {
    async fn append_log(
        &self,
        _: &Claim,
        _: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        let next = first + lines.len() as i64;
        let mut kept = self.kept.lock().unwrap();
        for line in lines {
            self.bytes.fetch_add(line.text.len() + 1, Ordering::Relaxed);
            if kept.len() < 1_000 {
                kept.push(line.text);
            }
        }
        Ok(next)
    }

    async fn read_log(
        &self,
        _: &TenantId,
        _: DeploymentId,
        _: i64,
        _: u32,
    ) -> StoreResult<Vec<LogLine>> {
        Ok(Vec::new())
    }

    async fn last_line(&self, _: &TenantId, _: DeploymentId) -> StoreResult<i64> {
        Ok(0)
    }
}

/// A builder in a data folder of its own, and one deployment.
pub(crate) struct Bed {
    pub(crate) data: TempDir,
    pub(crate) builder: LocalBuilder,
    pub(crate) deployment: DeploymentId,
    pub(crate) project: ProjectId,
    pub(crate) cancel: CancellationToken,
    pub(crate) lines: Arc<Lines>,
    pub(crate) timeout: Duration,
    pub(crate) env: EnvSet,
    pub(crate) ctx: StepContext,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(options: impl FnOnce(LocalBuilder) -> LocalBuilder) -> Self {
        let data = TempDir::new().unwrap();
        let builder =
            LocalBuilder::new(data.path().join("build")).grace(Duration::from_millis(300));
        let (now, lines) = (SystemClock.now(), Arc::new(Lines::default()));
        let (deployment, cancel) = (
            DeploymentId::new(now, &SystemEntropy),
            CancellationToken::new(),
        );
        let worker = WorkerId::new(now, &SystemEntropy);
        let target = LogTarget {
            store: lines.clone(),
            bus: Arc::new(LocalBus::default()),
            clock: Arc::new(SystemClock),
            claim: Claim {
                job: JobId::new(now, &SystemEntropy),
                fence: Fence(1),
                worker,
            },
            deployment,
            lost: CancellationToken::new(),
            trouble: Arc::default(),
        };
        let sink = LogSink::start(target, 1, Arc::new(Redactor::new([])), LogLimits::default());
        let ctx = StepContext {
            deployment,
            attempt: 1,
            cancel: cancel.clone(),
            handed_over: Default::default(),
            log: sink.writer(),
        };
        Self {
            builder: options(builder),
            data,
            deployment,
            project: ProjectId::new(now, &SystemEntropy),
            cancel,
            lines,
            timeout: Duration::from_secs(60),
            env: EnvSet::new(),
            ctx,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let (name, value) = (
            EnvName::parse(name).unwrap(),
            EnvValue::parse(value).unwrap(),
        );
        self.env.insert(name, value).unwrap();
    }

    pub(crate) async fn workspace(&self) -> Workspace {
        self.builder.prepare(&self.ctx).await.unwrap()
    }

    pub(crate) fn spec(&self, workspace: &Workspace, lines: &[&str]) -> BuildSpec {
        BuildSpec {
            project: self.project,
            workspace: workspace.clone(),
            recipe: recipe(lines),
            env: self.env.clone(),
            timeout: self.timeout,
        }
    }

    /// Runs the lines in an empty checkout; the output is `out`.
    pub(crate) async fn build(&self, lines: &[&str]) -> StepResult<Artifact> {
        let workspace = self.workspace().await;
        self.builder
            .build(&self.spec(&workspace, lines), &self.ctx)
            .await
    }

    pub(crate) async fn refused(&self, lines: &[&str]) -> Verdict {
        match self.build(lines).await {
            Err(StepError::Verdict(verdict)) => verdict,
            other => panic!("{other:?}"),
        }
    }

    /// What the build wrote into `out/<name>`.
    pub(crate) async fn output(&self, lines: &[&str], name: &str) -> String {
        let artifact = self.build(lines).await.unwrap();
        fs::read_to_string(folder(&artifact).join(name)).unwrap()
    }

    pub(crate) async fn log(&self) -> Vec<String> {
        self.ctx.log.flush().await;
        self.lines.kept.lock().unwrap().clone()
    }

    pub(crate) fn marker(&self) -> String {
        format!("{}-{}", self.deployment, self.ctx.attempt)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.data.path().join("build")
    }
}

pub(crate) fn recipe(lines: &[&str]) -> Recipe {
    Recipe {
        framework: Framework::parse("custom").unwrap(),
        root: None,
        commands: lines
            .iter()
            .map(|line| BuildCommand::parse(line).unwrap())
            .collect(),
        output: OutputDir::parse("out").unwrap(),
        runtime: Runtime::Static { single_page: false },
        health: HealthCheck::default(),
        shared: Vec::new(),
        writable: Vec::new(),
        on_target: Default::default(),
        images: Default::default(),
    }
}

pub(crate) fn folder(artifact: &Artifact) -> PathBuf {
    match &artifact.content {
        ArtifactContent::Folder(path) => path.clone(),
        other => panic!("{other:?}"),
    }
}

/// The processes that carry the marker of a build.
pub(crate) fn alive(marker: &str) -> Vec<String> {
    let marker = format!("DEPLOYR_BUILD={marker}");
    let marked = |pid: &String| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .split(|&byte| byte == 0)
            .any(|variable| variable == marker.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(marked)
        .collect()
}

pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
