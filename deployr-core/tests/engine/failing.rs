//! What fails, and what is tried again.

use std::sync::Arc;
use std::time::Duration;

use deployr_core::error::{Fault, StepError, VerdictCode};
use deployr_core::model::{DeploymentStatus, Failure, JobState, Page, Stage};
use deployr_core::store::JobQueue;

use crate::support::{Bench, NeverDrains, slug, worker};

#[tokio::test]
async fn a_verdict_fails_the_deployment_and_leaves_the_old_release_serving() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    let verdict = |code| StepError::verdict(code, "in words");
    bench
        .builder
        .script()
        .fail_next("build", verdict(VerdictCode::BuildFailed));
    let built = bench.deploy(&engine, &project).await;
    bench
        .executor
        .script()
        .fail_next("verify", verdict(VerdictCode::Unhealthy));
    let verified = bench.deploy(&engine, &project).await;

    for (ended, code) in [(built, "build_failed"), (verified, "unhealthy")] {
        assert_eq!(ended.status, DeploymentStatus::Failed);
        assert!(
            matches!(&ended.failure, Some(Failure::Verdict { code: c, .. }) if c == code),
            "{ended:?}"
        );
        let job = bench.store.job(&bench.me.tenant, ended.job).await.unwrap();
        assert_eq!(
            (job.state, job.attempt),
            (JobState::Completed, 1),
            "a verdict is not tried again"
        );
    }
    let target = bench.executor.target(&slug());
    assert_eq!(target.current, Some(1));
    assert_eq!(target.releases.len(), 1, "the failed release is gone");
    assert!(target.releases[&1].up);
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    assert!(bench.builder.open_workspaces().is_empty());
}

#[tokio::test]
async fn a_fault_is_tried_again_with_a_release_of_its_own() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.executor.script().fail_next(
        "prepare",
        Fault::retryable("copying", "the target", "it blinked").into(),
    );
    let asked = bench.ask(&engine, &project).await;
    bench
        .until(&engine, asked.id, |d| {
            d.status == DeploymentStatus::Queued && d.started_at.is_some()
        })
        .await;
    bench.clock.advance(Duration::from_secs(20));
    let ended = bench.end_of(&engine, asked.id).await;
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(
        bench
            .store
            .job(&bench.me.tenant, ended.job)
            .await
            .unwrap()
            .attempt,
        2
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(2));
}

#[tokio::test]
async fn a_permanent_fault_fails_at_once() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.builder.script().fail_next(
        "prepare",
        Fault::permanent("making", "a workspace", "not allowed").into(),
    );
    let ended = bench.deploy(&engine, &project).await;
    assert_eq!(ended.status, DeploymentStatus::Failed);
    assert!(
        matches!(ended.failure, Some(Failure::Fault { .. })),
        "{ended:?}"
    );
}

#[tokio::test]
async fn after_a_death_behind_the_switch_only_the_rest_is_done_again() {
    let bench = Bench::new();
    let dying = bench.engine_with(
        Arc::new(bench.source.clone()),
        Arc::new(NeverDrains(bench.ingress.clone())),
    );
    let _stuck = worker(&dying);
    let project = bench.project(&dying).await;
    let asked = bench.ask(&dying, &project).await;
    bench
        .until(&dying, asked.id, |d| d.stage == Stage::Activate)
        .await;
    while bench.ingress.routed(&slug()).is_none() {
        tokio::task::yield_now().await;
    }
    let builds = bench.builder.script().count("build");

    // The lease runs out by the store's clock, and another engine takes over.
    let engine = bench.engine();
    let _worker = worker(&engine);
    let pushed = async {
        loop {
            bench.clock.advance(Duration::from_millis(50));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::select! {
        ended = bench.end_of(&engine, asked.id) => ended,
        () = pushed => unreachable!(),
    };
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(
        bench.builder.script().count("build"),
        builds,
        "nothing is built again"
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(
        engine
            .releases(&bench.me, project.id, Page::first(10))
            .await
            .unwrap()
            .len(),
        1
    );
}
