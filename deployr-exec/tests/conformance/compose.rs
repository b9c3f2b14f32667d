use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::model::Runtime;
use deployr_core::testing::executor::{ExecutorHarness, Serves, Site, conformance};
use deployr_core::testing::ingress::http_get;
use deployr_exec::docker::DockerExecutor;
use deployr_exec::docker::compose::ComposeExecutor;
use deployr_testkit::docker::Docker;
use tempfile::TempDir;

const FILE: &str = "
services:
  web:
    image: busybox:test
    init: true
    command: httpd -f -p 8000 -h /site
    volumes: ['./:/site:ro']
    ports: [8000]
";

struct Harness {
    docker: &'static Docker,
    folder: TempDir,
    sites: AtomicUsize,
}

impl Drop for Harness {
    /// The release that is present at the end still runs.
    fn drop(&mut self) {
        let instance = fs::read_to_string(self.folder.path().join("docker/instance"));
        let instance = instance.unwrap_or_default();
        self.docker
            .remove_all_with(&format!("deployr.instance={instance}"));
    }
}

#[async_trait]
impl ExecutorHarness for Harness {
    async fn executor(&self) -> Arc<dyn Executor> {
        let executor = DockerExecutor::new(self.folder.path().join("docker"));
        let executor = executor.socket(self.docker.socket());
        Arc::new(ComposeExecutor::new(executor))
    }

    async fn site(&self, serves: Serves, text: &str) -> Site {
        let number = self.sites.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(format!("built/{number}"));
        let mut site = Site::in_folder(&folder, serves, text);
        if serves == Serves::Process {
            fs::write(folder.join("compose.yaml"), FILE).unwrap();
            site.recipe.runtime = Runtime::Compose {
                file: None,
                service: None,
                port: None,
            };
        }
        site
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String> {
        match endpoint.clone() {
            Endpoint::Folder { path, .. } => {
                fs::read_to_string(path.join("index.html")).map_err(|error| error.to_string())
            }
            Endpoint::Http { address } => {
                let get = move || http_get(address, &address.to_string());
                tokio::task::spawn_blocking(get).await.unwrap()
            }
            other => Err(format!("not to be asked: {other:?}")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_executor_conforms() {
    conformance(async || {
        Arc::new(Harness {
            docker: Docker::shared(),
            folder: tempfile::tempdir().unwrap(),
            sites: AtomicUsize::new(0),
        }) as Arc<dyn ExecutorHarness>
    })
    .await;
}
