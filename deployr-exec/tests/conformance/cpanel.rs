use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::testing::executor::{ExecutorHarness, Serves, Site, conformance};
use deployr_exec::cpanel::{self, CpanelExecutor, CpanelTarget, Token};
use deployr_testkit::cpanel::Cpanel;
use tempfile::TempDir;

use crate::fetch;

/// An account of its own for each check.
struct Harness {
    account: Cpanel,
    folder: TempDir,
    sites: AtomicUsize,
}

#[async_trait]
impl ExecutorHarness for Harness {
    async fn executor(&self) -> Arc<dyn Executor> {
        let token = Token::new(Cpanel::token());
        let mut target = CpanelTarget::new("127.0.0.1", Cpanel::user(), token).unwrap();
        target.port = self.account.port();
        target.certificate = Some(Cpanel::authority().to_owned());
        // One that visitors see, and others that are only placed.
        let app = cpanel::Site {
            domain: Some("app.example.com".to_owned()),
            plain_http: true,
            web_server: Some(self.account.web()),
            ..cpanel::Site::default()
        };
        target.sites.insert("app".to_owned(), app);
        Arc::new(CpanelExecutor::new(target).unwrap())
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

fn harness() -> Arc<dyn ExecutorHarness> {
    Arc::new(Harness {
        account: Cpanel::start(),
        folder: tempfile::tempdir().unwrap(),
        sites: AtomicUsize::new(0),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpanel_executor_conforms() {
    conformance(async || harness()).await;
}
