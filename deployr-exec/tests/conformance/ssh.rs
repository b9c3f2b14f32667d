use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::testing::executor::{ExecutorHarness, Serves, Site, conformance};
use deployr_exec::ssh::{SshExecutor, SshTarget};
use deployr_testkit::ssh::Sshd;
use tempfile::TempDir;

use crate::fetch;

/// A root of its own on a host that all checks share.
struct Harness {
    target: SshTarget,
    folder: TempDir,
    sites: AtomicUsize,
}

#[async_trait]
impl ExecutorHarness for Harness {
    async fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(SshExecutor::new(self.target.clone()).unwrap())
    }

    async fn site(&self, serves: Serves, text: &str) -> Site {
        let number = self.sites.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        Site::in_folder(&folder, serves, text)
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String> {
        fetch::page(endpoint.clone()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ssh_executor_conforms() {
    let sshd = Sshd::start();
    let roots = AtomicUsize::new(0);
    conformance(async || {
        let root = format!("it's root {}", roots.fetch_add(1, Ordering::Relaxed));
        let mut target = SshTarget::new("127.0.0.1", root).unwrap();
        target.port = sshd.port();
        target.user = Some(Sshd::user());
        target.host_key = Some(sshd.host_key());
        target.key = Some(sshd.key());
        target.address = Some([127, 0, 0, 1].into());
        Arc::new(Harness {
            target,
            folder: tempfile::tempdir().unwrap(),
            sites: AtomicUsize::new(0),
        }) as Arc<dyn ExecutorHarness>
    })
    .await;
}
