use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::testing::executor::{ExecutorHarness, Serves, Site, conformance};
use deployr_exec::local::Sandbox;
use deployr_exec::local::run::LocalExecutor;
use tempfile::TempDir;

use crate::fetch;

struct Harness {
    folder: TempDir,
    sites: AtomicUsize,
}

impl Drop for Harness {
    /// The release that is present at the end still runs.
    fn drop(&mut self) {
        let executor = LocalExecutor::new(self.folder.path().join("sites"));
        let stop = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(executor.shutdown(Duration::ZERO)).unwrap();
        };
        std::thread::spawn(stop).join().unwrap();
    }
}

#[async_trait]
impl ExecutorHarness for Harness {
    async fn executor(&self) -> Arc<dyn Executor> {
        // Releases that are processes are this very program.
        let program = std::env::current_exe().unwrap();
        let sandbox = Sandbox::new().tool_dirs(program.parent());
        let executor = LocalExecutor::new(self.folder.path().join("sites"));
        Arc::new(executor.sandbox(sandbox))
    }

    async fn site(&self, serves: Serves, text: &str) -> Site {
        let number = self.sites.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(format!("built/{number}"));
        Site::in_folder(&folder, serves, text)
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String> {
        fetch::page(endpoint.clone()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_executor_conforms() {
    conformance(async || {
        Arc::new(Harness {
            folder: tempfile::tempdir().unwrap(),
            sites: AtomicUsize::new(0),
        }) as Arc<dyn ExecutorHarness>
    })
    .await;
}
