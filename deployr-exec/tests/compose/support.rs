use std::fs;
use std::net::SocketAddr;

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::StepResult;
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::{Runtime, Turn};
use deployr_core::testing::RecordedStep;
use deployr_core::value::Framework;
use deployr_exec::docker::DockerExecutor;
use deployr_exec::docker::compose::ComposeExecutor;
use deployr_testkit::docker::Docker;

pub(crate) use crate::container_support::{self, get, load, set, verdict};
use crate::container_support::{address, artifact};

/// A target of its own for each test, on the engine that all share.
pub(crate) struct Target {
    docker: &'static Docker,
    root: tempfile::TempDir,
    pub(crate) executor: ComposeExecutor,
}

impl Target {
    pub(crate) fn new() -> Self {
        let docker = Docker::shared();
        let root = tempfile::tempdir().unwrap();
        let executor = DockerExecutor::new(root.path().join("target")).socket(docker.socket());
        Self {
            docker,
            executor: ComposeExecutor::new(executor),
            root,
        }
    }

    /// A checkout with these files.
    pub(crate) fn checkout(&self, files: &[(&str, &str)]) -> Artifact {
        let folder = tempfile::Builder::new().tempdir_in(self.root.path());
        let folder = folder.unwrap().keep();
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        artifact(ArtifactContent::Folder(folder))
    }

    pub(crate) fn docker(&self, args: &[&str]) -> String {
        self.docker.run(args)
    }

    /// Where logins are while a program runs that takes them from files.
    pub(crate) fn logins(&self) -> std::path::PathBuf {
        self.root.path().join("target/.logins")
    }

    pub(crate) fn label(&self) -> String {
        let file = self.root.path().join("target/instance");
        let instance = fs::read_to_string(file).unwrap_or_default();
        format!("label=deployr.instance={instance}")
    }

    /// The ids and names of all containers of this target.
    pub(crate) fn containers(&self) -> Vec<(String, String)> {
        let (label, format) = (self.label(), "{{.ID}} {{.Names}}");
        let all = self.docker(&["ps", "--all", "--filter", &label, "--format", format]);
        let pairs = all.lines().filter_map(|line| line.split_once(' '));
        pairs
            .map(|(id, name)| (id.to_owned(), name.to_owned()))
            .collect()
    }

    /// The names of all networks of this target.
    pub(crate) fn networks(&self) -> Vec<String> {
        let (label, format) = (self.label(), "{{.Name}}");
        let all = self.docker(&["network", "ls", "--filter", &label, "--format", format]);
        all.lines().map(str::to_owned).collect()
    }

    /// Placed, up, healthy and present.
    pub(crate) async fn deploy(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
    ) -> StepResult<SocketAddr> {
        self.deploy_with_log(spec, artifact).await.0
    }

    /// The same, with the deployment's log.
    pub(crate) async fn deploy_with_log(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
    ) -> (StepResult<SocketAddr>, String) {
        let step = RecordedStep::new();
        let deploy = async {
            self.executor.prepare(spec, artifact, &step.ctx).await?;
            let endpoint = self.executor.start(spec, &step.ctx).await?;
            self.executor.verify(spec, &endpoint, &step.ctx).await?;
            let turn = Turn::new(spec.number, 1);
            self.executor.switch(spec, turn, &step.ctx).await?;
            Ok(address(&endpoint))
        };
        let done = deploy.await;
        let lines = step.lines().await;
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        (done, lines.join("\n"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let label = self.label();
        let label = label.trim_start_matches("label=");
        self.docker.remove_all_with(label);
    }
}

/// A release of a compose file.
pub(crate) fn spec(number: i64) -> ReleaseSpec {
    let mut spec = container_support::spec(number, "unused");
    spec.recipe.framework = Framework::parse("compose").unwrap();
    spec.recipe.runtime = Runtime::Compose {
        file: None,
        service: None,
        port: None,
    };
    spec
}
