//! What is called off, superseded, or handed back.

use std::sync::Arc;
use std::time::Duration;

use deployr_core::model::{DeploymentStatus, JobState};
use deployr_core::store::JobQueue;

use crate::support::{Bench, Hanging, worker};

#[tokio::test]
async fn a_cancelled_deployment_is_cancelled_once_its_worker_has_stopped() {
    let bench = Bench::new();
    let engine = bench.engine_with(Arc::new(Hanging), Arc::new(bench.ingress.clone()));
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = bench.ask(&engine, &project).await;
    bench
        .until(&engine, asked.id, |d| {
            d.status == DeploymentStatus::Building
        })
        .await;
    let cancelling = engine
        .cancel(&bench.me, asked.id, "changed my mind")
        .await
        .unwrap();
    assert_eq!(cancelling.status, DeploymentStatus::Cancelling);
    let ended = bench.end_of(&engine, asked.id).await;
    assert_eq!(ended.status, DeploymentStatus::Cancelled);
    assert!(bench.builder.open_workspaces().is_empty());
    let again = engine.cancel(&bench.me, asked.id, "again").await.unwrap();
    assert_eq!(
        again.status,
        DeploymentStatus::Cancelled,
        "asking again changes nothing"
    );
}

#[tokio::test]
async fn a_newer_deployment_supersedes_those_that_wait() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let first = bench.ask(&engine, &project).await;
    let second = bench.ask(&engine, &project).await;
    let first = engine.deployment(&bench.me, first.id).await.unwrap();
    assert_eq!(first.status, DeploymentStatus::Cancelled);
    assert_eq!(
        first.failure.unwrap().message(),
        format!("superseded by {}", second.id)
    );
    let _worker = worker(&engine);
    assert_eq!(
        bench.end_of(&engine, second.id).await.status,
        DeploymentStatus::Success
    );
}

#[tokio::test]
async fn a_worker_that_drains_hands_its_job_back_unharmed() {
    let bench = Bench::new();
    let engine = bench.engine_with(Arc::new(Hanging), Arc::new(bench.ingress.clone()));
    let first = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = bench.ask(&engine, &project).await;
    bench
        .until(&engine, asked.id, |d| {
            d.status == DeploymentStatus::Building
        })
        .await;
    first.drain(Duration::ZERO).await;
    let job = bench.store.job(&bench.me.tenant, asked.job).await.unwrap();
    assert_eq!((job.state, job.attempt), (JobState::Queued, 0));

    let next = bench.engine();
    let _worker = worker(&next);
    assert_eq!(
        bench.end_of(&next, asked.id).await.status,
        DeploymentStatus::Success
    );
}
