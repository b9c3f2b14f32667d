//! The commands that a release brings along, on this host.
#![cfg(feature = "local-executor")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod executor_support;

use std::fs;

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, RelPath};
use executor_support::*;

fn line(text: &str) -> Option<BuildCommand> {
    Some(BuildCommand::parse(text).unwrap())
}

fn with_commands(host: &Host, number: i64) -> ReleaseSpec {
    let mut spec = host.site(number);
    spec.recipe.shared = vec![RelPath::parse("data").unwrap()];
    spec.recipe.on_target.prepare = line("echo made by prepare; echo cached >cache");
    spec.recipe.on_target.migrate = line("cat cache; echo \"run $DEPLOYR_RELEASE\" >>data/runs");
    spec.recipe.on_target.after_switch = line("readlink ../../current; exit 4");
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_prepares_and_migrates_before_it_is_present_and_each_deployment_once() {
    let (host, step) = (Host::new(), RecordedStep::new());
    let files = || host.files(&[("index.html", "home")]);
    let first = with_commands(&host, 1);
    host.executor
        .prepare(&first, &files(), &step.ctx)
        .await
        .unwrap();
    let said = step.said().await;
    assert_eq!(said, ["made by prepare", "cached"]);
    let runs = || fs::read_to_string(host.path("shared/data/runs")).unwrap();
    // Another attempt has a release of its own to prepare, and has migrated.
    let again = step.next_attempt();
    let second = with_commands(&host, 2);
    host.executor
        .prepare(&second, &files(), &again.ctx)
        .await
        .unwrap();
    assert_eq!(runs(), "run 1\n");
    assert!(host.path("releases/2/cache").exists());
    host.executor
        .switch(&second, Turn::new(1, 2), &again.ctx)
        .await
        .unwrap();
    let said = again.said().await.join("\n");
    assert!(
        said.contains("releases/2") && said.contains("warning: on_target.after_switch"),
        "{said}"
    );

    let mut failing = with_commands(&host, 3);
    failing.recipe.on_target.migrate = line("echo oh no; exit 3");
    let other = RecordedStep::new();
    let failed = host.executor.prepare(&failing, &files(), &other.ctx).await;
    assert!(
        matches!(&failed, Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::CommandFailed),
        "{failed:?}"
    );
    assert_eq!(other.said().await.last().unwrap(), "oh no");
    assert_eq!(host.executor.current(&host.slug).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_when_the_deployment_is_to_stop() {
    let (host, step) = (Host::new(), RecordedStep::new());
    let mut spec = host.site(1);
    spec.recipe.shared = vec![RelPath::parse("data").unwrap()];
    spec.recipe.on_target.migrate = line("echo begun >data/begun; sleep 1000");
    let files = host.files(&[("index.html", "home")]);
    let stop = async {
        while !host.path("shared/data/begun").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        step.ctx.cancel.cancel();
    };
    let (stopped, ()) = tokio::join!(host.executor.prepare(&spec, &files, &step.ctx), stop);
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    assert!(host.living().is_empty());
}
