use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use deployr_core::builder::Builder;
use deployr_core::model::Runtime;
use deployr_core::testing::builder;
use deployr_core::testing::executor::Site;
use deployr_core::value::BuildCommand;
use deployr_exec::LocalBuilder;
use deployr_exec::docker::DockerBuilder;
use deployr_testkit::docker::Docker;
use tempfile::TempDir;

use crate::containers::{self, Kind};

pub(crate) fn serve_files(site: &mut Site, _: &Path) {
    let start = BuildCommand::parse("exec httpd -f -p $PORT").unwrap();
    site.recipe.runtime = Runtime::Process { start };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_executor_conforms() {
    let docker = Kind {
        over: |docker| Arc::new(docker),
        serves: serve_files,
    };
    containers::conform(Docker::shared(), docker).await;
}

struct Builds(TempDir);

#[async_trait]
impl builder::BuilderHarness for Builds {
    async fn builder(&self) -> Arc<dyn Builder> {
        let docker = Docker::shared();
        let builder = DockerBuilder::new(self.0.path().join("build"));
        Arc::new(builder.socket(docker.socket()).image(docker.busybox()))
    }

    fn passed_variables(&self) -> Vec<String> {
        LocalBuilder::network_variables()
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_builder_conforms() {
    builder::conformance(async || {
        Arc::new(Builds(tempfile::tempdir().unwrap())) as Arc<dyn builder::BuilderHarness>
    })
    .await;
}
