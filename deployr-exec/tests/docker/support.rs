use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::StepResult;
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;
use deployr_exec::docker::DockerExecutor;
use deployr_testkit::docker::Docker;

pub(crate) use crate::container_support::*;

/// A target of its own for each test, on the engine that all share.
pub(crate) struct Target {
    docker: &'static Docker,
    root: tempfile::TempDir,
    pub(crate) executor: DockerExecutor,
    pub(crate) slug: Slug,
}

impl Target {
    pub(crate) fn new() -> Self {
        Self::on(Docker::shared())
    }

    pub(crate) fn on(docker: &'static Docker) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            docker,
            executor: executor(docker, root.path()),
            root,
            slug: Slug::parse("shop").unwrap(),
        }
    }

    /// As after a restart of deployr.
    pub(crate) fn restarted(&self) -> DockerExecutor {
        executor(self.docker, self.root.path())
    }

    /// An artifact with these files.
    pub(crate) fn files(&self, files: &[(&str, &str)]) -> Artifact {
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

    pub(crate) fn container(&self, number: i64) -> String {
        format!("deployr-{}-{}-{number}", self.instance(), self.slug)
    }

    pub(crate) fn image(&self, number: i64) -> String {
        format!("deployr-{}/{}:{number}", self.instance(), self.slug)
    }

    pub(crate) fn network(&self) -> String {
        format!("deployr-{}", self.instance())
    }

    /// The network's name, once there is an instance to have one.
    pub(crate) async fn wait_for_network(&self) -> String {
        eventually("an instance", || !self.instance().is_empty()).await;
        self.network()
    }

    fn instance(&self) -> String {
        let file = self.root.path().join("target/instance");
        fs::read_to_string(file).unwrap_or_default()
    }

    /// Takes a release's folder away, as if it had never been placed.
    pub(crate) fn forget(&self, number: i64) {
        let releases = self.root.path().join("target/shop/releases");
        fs::remove_dir_all(releases.join(number.to_string())).unwrap();
    }

    /// Finds what is this target's.
    pub(crate) fn label(&self) -> String {
        format!("label=deployr.instance={}", self.instance())
    }

    /// The names of all containers of this target.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = self.label();
        let format = ["--format", "{{.Names}}"];
        let all = self.docker(&[&["ps", "--all", "--filter", &label], &format[..]].concat());
        all.lines().map(str::to_owned).collect()
    }

    /// Placed, up, healthy and present.
    pub(crate) async fn deploy(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        turn: i64,
    ) -> StepResult<SocketAddr> {
        deploy(&self.executor, spec, artifact, turn).await
    }

    /// A release that says `text` at `/`.
    pub(crate) async fn live(&self, number: i64, text: &str) -> (ReleaseSpec, SocketAddr) {
        let spec = spec(number, SERVER);
        let artifact = self.files(&[("index.html", text)]);
        let address = self.deploy(&spec, &artifact, number).await.unwrap();
        (spec, address)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let left = self.containers();
        let left: Vec<&str> = left.iter().map(String::as_str).collect();
        if !left.is_empty() {
            self.docker(&[&["rm", "--force", "--volumes"], &left[..]].concat());
        }
    }
}

fn executor(docker: &Docker, root: &Path) -> DockerExecutor {
    let executor = DockerExecutor::new(root.join("target")).socket(docker.socket());
    executor.base_image(docker.busybox())
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
