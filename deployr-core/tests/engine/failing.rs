//! What fails, and what is tried again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::model::{Deployment, DeploymentStatus, Failure, JobState, Page, Project, Stage};
use deployr_core::source::{CredentialProvider, Credentials};
use deployr_core::store::JobQueue;
use deployr_core::testing::{FaultPlan, Strike};
use deployr_core::value::GitUrl;
use deployr_core::worker::Worker;

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
async fn a_switch_that_was_torn_is_taken_back_too() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let full = || Fault::permanent("switch", "the host", "its disk is full").into();

    // Nothing to go back to: the release goes.
    bench.executor.script().fail_next("switch", full());
    let first = bench.deploy(&engine, &project).await;
    assert_eq!(first.status, DeploymentStatus::Failed);
    assert!(bench.executor.target(&slug()).releases.is_empty());

    bench.deploy(&engine, &project).await;
    bench
        .executor
        .meddle(&slug(), |target| target.current = None);
    bench.executor.script().fail_next("switch", full());
    let torn = bench.deploy(&engine, &project).await;
    assert_eq!(torn.status, DeploymentStatus::Failed);
    let target = bench.executor.target(&slug());
    assert_eq!(target.current, Some(2));
    assert!(target.releases[&2].up && target.releases.len() == 1);
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 2);
}

/// A deployment whose process died when the target was switched, before it could say so.
async fn died_behind_the_switch(bench: &Bench, project: &Project) -> (Worker, Deployment) {
    let plan = FaultPlan::default();
    let dying = bench
        .parts()
        .store(Arc::new(plan.wrap(bench.store.clone())))
        .ingress(Arc::new(NeverDrains(bench.ingress.clone())));
    let dying = dying.build().unwrap();
    let dead = worker(&dying);
    let routed = || bench.ingress.routed(&slug()).map(|route| route.release);
    let before = routed();
    let asked = bench.ask(&dying, project).await;
    bench
        .until(&dying, asked.id, |d| d.stage == Stage::Activate)
        .await;
    while routed() == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    plan.kill();
    (dead, asked)
}

#[tokio::test]
async fn after_a_death_behind_the_switch_only_the_rest_is_done_again() {
    let bench = Bench::new();
    let project = bench.project(&bench.engine()).await;
    let (_dead, asked) = died_behind_the_switch(&bench, &project).await;
    let builds = bench.builder.script().count("build");

    // The lease runs out by the store's clock, and another engine takes over.
    let engine = bench.engine();
    let _worker = worker(&engine);
    let ended = bench
        .while_time_passes(bench.end_of(&engine, asked.id))
        .await;
    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(
        bench.builder.script().count("build"),
        builds,
        "nothing is built again"
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    let releases = engine.releases(&bench.me, project.id, Page::first(10));
    assert_eq!(releases.await.unwrap().len(), 1);
}

/// RELIABILITY 26.
#[tokio::test]
async fn a_target_that_is_away_after_a_death_is_asked_by_the_last_attempt_too() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let first = worker(&engine);
    bench.deploy(&engine, &project).await;
    first.drain(Duration::ZERO).await;
    let (_dead, asked) = died_behind_the_switch(&bench, &project).await;
    let plan = FaultPlan::default();
    plan.strike_all("current", Strike::Before);
    let engine = bench
        .parts()
        .executor(
            "local",
            Arc::new(plan.wrap(Arc::new(bench.executor.clone()))),
        )
        .build()
        .unwrap();
    let _worker = worker(&engine);
    let job = async || bench.store.job(&bench.me.tenant, asked.job).await.unwrap();
    let tick = Duration::from_millis(2);
    let taken_over = async {
        while job().await.attempt == 1 {
            tokio::time::sleep(tick).await;
        }
    };
    bench.while_time_passes(taken_over).await;
    let tried = async {
        loop {
            let job = job().await;
            if job.state.is_final() {
                return bench.end_of(&engine, asked.id).await;
            }
            if job.state == JobState::Pending {
                if job.attempt == 3 {
                    plan.reset();
                }
                bench.clock.advance(Duration::from_secs(60));
            }
            bench.clock.advance(tick);
            tokio::time::sleep(tick).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), tried).await;
    let ended = ended.expect("an end");
    // Which only puts in order, and says so.
    assert_eq!(ended.status, DeploymentStatus::Failed, "{ended:#?}");
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
}

/// The forge that gives the credentials.
struct Forge;

#[async_trait]
impl CredentialProvider for Forge {
    async fn credentials(&self, url: &GitUrl) -> StepResult<Option<Credentials>> {
        Err(Fault::permanent("asking for a token", url, "it was revoked").into())
    }
}

#[tokio::test]
async fn credentials_are_missed_only_where_something_is_built() {
    let bench = Bench::new();
    let project = bench.project(&bench.engine()).await;
    let (_dead, asked) = died_behind_the_switch(&bench, &project).await;
    let away = bench.parts().credentials(Arc::new(Forge)).build().unwrap();
    let builds_nothing = worker(&away);
    let ended = bench.while_time_passes(bench.end_of(&away, asked.id)).await;
    assert_eq!(ended.status, DeploymentStatus::Success, "{ended:#?}");

    let refused = bench.deploy(&away, &project).await;
    let failure = refused.failure.unwrap();
    assert!(failure.message().contains("it was revoked"), "{failure:?}");
    builds_nothing.drain(Duration::ZERO).await;

    let engine = bench.engine();
    let builds = worker(&engine);
    let second = bench.deploy(&engine, &project).await;
    assert_eq!(second.status, DeploymentStatus::Success);
    builds.drain(Duration::ZERO).await;

    // What is built already needs none.
    let _worker = worker(&away);
    let back = away.rollback(&bench.me, project.id, None).await.unwrap();
    let back = bench.end_of(&away, back.id).await;
    assert_eq!(back.status, DeploymentStatus::Success, "{back:#?}");
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
}
