use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;
use deployr_exec::docker::DockerExecutor;
use deployr_exec::docker::swarm::SwarmExecutor;
use deployr_testkit::docker::Docker;

pub(crate) use crate::container_support::*;

/// A target of its own for each test, on the swarm that all share.
pub(crate) struct Target {
    docker: &'static Docker,
    root: tempfile::TempDir,
    pub(crate) executor: SwarmExecutor,
    pub(crate) slug: Slug,
}

impl Target {
    pub(crate) fn new() -> Self {
        Self::on(Docker::shared())
    }

    pub(crate) fn on(docker: &'static Docker) -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            docker: docker.swarm(),
            executor: executor(docker, root.path()),
            root,
            slug: Slug::parse("shop").unwrap(),
        }
    }

    /// As after a restart of deployr.
    pub(crate) fn restarted(&self) -> SwarmExecutor {
        executor(self.docker, self.root.path())
    }

    /// An artifact with these files.
    pub(crate) fn files(&self, files: &[(&str, &str)]) -> Artifact {
        let folder = tempfile::Builder::new().tempdir_in(self.root.path());
        let folder = folder.unwrap().keep();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        artifact(ArtifactContent::Folder(folder))
    }

    pub(crate) fn docker(&self, args: &[&str]) -> String {
        self.docker.run(args)
    }

    pub(crate) fn instance(&self) -> String {
        let file = self.root.path().join("target/instance");
        fs::read_to_string(file).unwrap_or_default()
    }

    pub(crate) fn service(&self, number: i64) -> String {
        format!("deployr-{}-{}-{number}", self.instance(), self.slug)
    }

    /// Takes a release's folder away, as if it had never been placed.
    pub(crate) fn forget(&self, number: i64) {
        let releases = self.root.path().join("target/shop/releases");
        fs::remove_dir_all(releases.join(number.to_string())).unwrap();
    }

    fn all(&self, list: &[&str], format: &str) -> Vec<String> {
        let label = format!("label=deployr.instance={}", self.instance());
        let all = self.docker(&[list, &["--filter", &label, "--format", format]].concat());
        let mut all: Vec<_> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    /// The names of all services of this target.
    pub(crate) fn services(&self) -> Vec<String> {
        self.all(&["service", "ls"], "{{.Name}}")
    }

    /// The names of all secrets of this target.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.all(&["secret", "ls"], "{{.Name}}")
    }

    /// All containers of this target.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.all(&["ps", "--all"], "{{.ID}}")
    }

    /// A release that says `text` at `/`.
    pub(crate) async fn live(&self, number: i64, text: &str) -> (ReleaseSpec, SocketAddr) {
        let spec = spec(number, SERVER);
        let artifact = self.files(&[("index.html", text)]);
        let address = deploy(&self.executor, &spec, &artifact, number).await;
        (spec, address.unwrap())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.docker
            .remove_all_with(&format!("deployr.instance={}", self.instance()));
    }
}

fn executor(docker: &Docker, root: &Path) -> SwarmExecutor {
    let executor = DockerExecutor::new(root.join("target")).socket(docker.socket());
    SwarmExecutor::new(executor.base_image(docker.busybox()))
}
