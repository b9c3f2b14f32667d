//! The compose files of the hostile corpus, through the real tool.

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;
use serde_json::Value;

use crate::support::{Target, spec};

const LIST: &str = include_str!("../../../deployr-core/tests/data/hostile_inputs.json");

#[tokio::test(flavor = "multi_thread")]
async fn each_file_is_refused_or_gets_as_far_as_its_images() {
    let target = Target::new();
    let entries: Vec<Value> = serde_json::from_str(LIST).unwrap();
    let mut tried = 0;
    for entry in entries.iter().filter(|entry| entry["area"] == "compose") {
        let (id, text) = (&entry["id"], entry["input"].as_str().unwrap());
        let dockerfile = ("Dockerfile", "FROM busybox:test\nEXPOSE 3000\n");
        let checkout = target.checkout(&[("compose.yaml", text), dockerfile]);
        let step = RecordedStep::new();
        let prepared = target
            .executor
            .prepare(&spec(1), &checkout, &step.ctx)
            .await;
        match (entry["expected"].as_str().unwrap(), prepared) {
            (expected, Err(StepError::Verdict(verdict))) if expected.starts_with("rejected:") => {
                assert_eq!(verdict.code, VerdictCode::ConfigInvalid, "{id}: {verdict}");
                let forbidden = verdict.message.contains("may not be run");
                assert_eq!(
                    forbidden,
                    expected.ends_with("FORBIDDEN"),
                    "{id}: {verdict}"
                );
            }
            // Its database's image cannot be fetched where there is no registry.
            ("accepted", Err(StepError::Fault(fault))) => {
                assert_eq!(fault.operation, "fetching an image", "{id}: {fault}");
            }
            ("accepted", Ok(())) => {}
            (expected, other) => panic!("{id} must be {expected}: {other:?}"),
        }
        tried += 1;
    }
    assert!(tried >= 9, "{tried}");
    assert!(target.containers().is_empty());
}
