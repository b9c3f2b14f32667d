//! The bucket does what every executor must do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::testing::executor::{ExecutorHarness, Serves, Site, conformance};
use deployr_custom_executor_example::{Bucket, BucketExecutor};
use tempfile::TempDir;

struct Harness {
    folder: TempDir,
    sites: AtomicUsize,
}

#[async_trait]
impl ExecutorHarness for Harness {
    async fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(BucketExecutor::new(Bucket::new(
            self.folder.path().join("bucket"),
        )))
    }

    async fn site(&self, serves: Serves, text: &str) -> Site {
        let number = self.sites.fetch_add(1, Ordering::Relaxed);
        Site::in_folder(
            &self.folder.path().join(format!("sites/{number}")),
            serves,
            text,
        )
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String> {
        match endpoint {
            Endpoint::Folder { path, .. } => tokio::fs::read_to_string(path.join("index.html"))
                .await
                .map_err(|error| error.to_string()),
            other => Err(format!("a bucket does not give {other:?}")),
        }
    }
}

#[tokio::test]
async fn conforms() {
    conformance(|| async {
        let harness = Harness {
            folder: tempfile::tempdir().unwrap(),
            sites: AtomicUsize::new(0),
        };
        Arc::new(harness) as Arc<dyn ExecutorHarness>
    })
    .await;
}
