use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::BuilderHarness;
use crate::builder::{Artifact, BuildSpec, Builder, Workspace};
use crate::error::{StepError, StepResult, Verdict, VerdictCode};
use crate::model::{HealthCheck, ProjectId, ProjectSettings, Recipe, Runtime};
use crate::system::{Clock, SystemClock, SystemEntropy};
use crate::testing::RecordedStep;
use crate::testing::suite::{PATIENCE, in_time};
use crate::value::{
    BranchName, BuildCommand, EnvName, EnvSet, EnvValue, Framework, GitUrl, OutputDir, TargetName,
};

/// A builder on the bench, and short words for what checks do with it.
pub(super) struct Bench {
    pub(super) harness: Arc<dyn BuilderHarness>,
    pub(super) builder: Arc<dyn Builder>,
}

/// A build that can be started.
pub(super) struct Job {
    pub(super) step: RecordedStep,
    pub(super) spec: BuildSpec,
}

impl Bench {
    pub(super) async fn new(harness: Arc<dyn BuilderHarness>) -> Self {
        Self {
            builder: harness.builder().await,
            harness,
        }
    }

    pub(super) async fn prepare(&self, step: &RecordedStep) -> Workspace {
        in_time("prepare", self.builder.prepare(&step.ctx))
            .await
            .unwrap()
    }

    pub(super) async fn clean(&self, workspace: &Workspace) {
        in_time("clean", self.builder.clean(workspace))
            .await
            .unwrap();
    }

    /// A build of these lines in a workspace of its own; its output is `out`.
    pub(super) async fn job(&self, lines: &[&str]) -> Job {
        self.job_of(RecordedStep::new(), lines).await
    }

    pub(super) async fn job_of(&self, step: RecordedStep, lines: &[&str]) -> Job {
        let spec = BuildSpec {
            project: ProjectId::new(SystemClock.now(), &SystemEntropy),
            workspace: self.prepare(&step).await,
            recipe: recipe(lines, "out"),
            env: EnvSet::default(),
            timeout: 4 * PATIENCE,
        };
        Job { step, spec }
    }

    pub(super) async fn run(&self, job: &Job) -> StepResult<Artifact> {
        in_time("build", self.builder.build(&job.spec, &job.step.ctx)).await
    }

    /// The artifact of a build that must succeed.
    pub(super) async fn built(&self, lines: &[&str]) -> (Job, Artifact) {
        let job = self.job(lines).await;
        let artifact = self.run(&job).await;
        (job, artifact.unwrap())
    }

    /// What a build says that must fail.
    pub(super) async fn refused(&self, job: &Job, code: VerdictCode) -> Verdict {
        verdict(self.run(job).await, code)
    }

    /// A file of an artifact, as text.
    pub(super) async fn text(&self, artifact: &Artifact, path: &str) -> String {
        let content = self.harness.read(artifact, path).await.unwrap();
        String::from_utf8(content).unwrap()
    }
}

impl Job {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let (name, value) = (EnvName::parse(name), EnvValue::parse(value));
        let env = &mut self.spec.env;
        env.insert(name.unwrap(), value.unwrap()).unwrap();
    }

    pub(super) fn within(mut self, timeout: Duration) -> Self {
        self.spec.timeout = timeout;
        self
    }
}

#[track_caller]
pub(super) fn verdict<T: std::fmt::Debug>(answer: StepResult<T>, code: VerdictCode) -> Verdict {
    match answer {
        Err(StepError::Verdict(verdict)) if verdict.code == code => verdict,
        other => panic!("must be the verdict `{code}`, not {other:?}"),
    }
}

pub(super) fn recipe(lines: &[&str], output: &str) -> Recipe {
    let commands = lines.iter().map(|line| BuildCommand::parse(line).unwrap());
    Recipe {
        framework: Framework::parse("custom").unwrap(),
        root: None,
        commands: commands.collect(),
        output: OutputDir::parse(output).unwrap(),
        runtime: Runtime::Static { single_page: false },
        health: HealthCheck::default(),
        shared: Vec::new(),
        writable: Vec::new(),
        on_target: Default::default(),
        images: Default::default(),
    }
}

/// Settings that leave everything to the checkout.
pub(super) fn settings() -> ProjectSettings {
    let source = GitUrl::parse("https://git.example.com/acme/app.git").unwrap();
    let branch = BranchName::parse("main").unwrap();
    ProjectSettings::new(source, branch, TargetName::parse("local").unwrap())
}

pub(super) fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
