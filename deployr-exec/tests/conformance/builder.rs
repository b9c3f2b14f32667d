use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Builder;
use deployr_core::testing::builder::{BuilderHarness, conformance};
use deployr_exec::local::build::LocalBuilder;
use tempfile::TempDir;

struct Harness(TempDir);

#[async_trait]
impl BuilderHarness for Harness {
    async fn builder(&self) -> Arc<dyn Builder> {
        let builder = LocalBuilder::new(self.0.path().join("build"));
        // What does not want to end shall not hold up the tests.
        Arc::new(builder.grace(Duration::from_millis(300)))
    }

    fn passed_variables(&self) -> Vec<String> {
        let passed = ["PATH"]
            .into_iter()
            .chain(LocalBuilder::network_variables());
        passed.map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_builder_conforms() {
    conformance(async || {
        Arc::new(Harness(tempfile::tempdir().unwrap())) as Arc<dyn BuilderHarness>
    })
    .await;
}
