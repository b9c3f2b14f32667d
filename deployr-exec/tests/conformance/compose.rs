use std::fs;
use std::path::Path;
use std::sync::Arc;

use deployr_core::model::Runtime;
use deployr_core::testing::executor::Site;
use deployr_exec::docker::compose::ComposeExecutor;
use deployr_testkit::docker::Docker;

use crate::containers::{self, Kind};

const FILE: &str = "
services:
  web:
    image: busybox:test
    init: true
    command: httpd -f -p 8000 -h /site
    volumes: ['./:/site:ro']
    ports: [8000]
";

fn serve_by_a_service(site: &mut Site, folder: &Path) {
    fs::write(folder.join("compose.yaml"), FILE).unwrap();
    site.recipe.runtime = Runtime::Compose {
        file: None,
        service: None,
        port: None,
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_executor_conforms() {
    let compose = Kind {
        over: |docker| Arc::new(ComposeExecutor::new(docker)),
        serves: serve_by_a_service,
    };
    containers::conform(Docker::shared(), compose).await;
}
