//! What is looked at before anything is done.

use std::time::Duration;

use deployr_core::engine::{DeployRequest, EngineError, ProjectRequest};
use deployr_core::error::VerdictCode;
use deployr_core::model::{Actor, DeploymentStatus, Failure, Page};
use deployr_core::store::StoreError;
use deployr_core::value::{BranchName, GitRef, GitUrl, TenantId};

use crate::support::{Bench, commit, worker};

#[tokio::test]
async fn a_plan_changes_nothing() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let plan = engine.plan(&bench.me, project.id, None).await.unwrap();
    assert_eq!(plan.commit, commit("a"));
    assert!(plan.zero_downtime && !plan.steps.is_empty());
    assert_eq!(bench.builder.script().count("build"), 0);
    assert!(bench.executor.script().calls().is_empty());
    assert!(bench.builder.open_workspaces().is_empty());
    assert!(
        engine
            .deployments(&bench.me, None, Page::first(10))
            .await
            .unwrap()
            .is_empty()
    );

    let missing = GitRef::Branch(BranchName::parse("missing").unwrap());
    let refused = engine.plan(&bench.me, project.id, Some(missing)).await;
    assert!(matches!(refused, Err(EngineError::Verdict(v)) if v.code == VerdictCode::RefNotFound));
    assert!(
        bench.builder.open_workspaces().is_empty(),
        "also after a failure"
    );
}

#[tokio::test]
async fn what_the_target_cannot_run_is_refused_before_it_is_built() {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.executor.refuse_all("it runs no processes");
    let planned = engine.plan(&bench.me, project.id, None).await;
    assert!(matches!(planned, Err(EngineError::Verdict(v)) if v.code == VerdictCode::Unsupported));
    let ended = bench.deploy(&engine, &project).await;
    assert_eq!(ended.status, DeploymentStatus::Failed);
    assert!(
        matches!(&ended.failure, Some(Failure::Verdict { code, .. }) if code == "unsupported"),
        "{ended:?}"
    );
    worker.drain(Duration::from_secs(5)).await;
    assert_eq!(bench.builder.script().count("build"), 0);
    assert_eq!(bench.executor.script().count("prepare"), 0);
    assert!(bench.builder.open_workspaces().is_empty());
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let bench = Bench::new();
    let engine = bench.engine();
    let project = bench.project(&engine).await;
    let asked = bench.ask(&engine, &project).await;
    let other = Actor::new(TenantId::parse("other").unwrap(), "eve");
    let not_found =
        |error: EngineError| matches!(error, EngineError::Store(StoreError::NotFound { .. }));
    assert!(not_found(
        engine.project(&other, project.id).await.unwrap_err()
    ));
    assert!(not_found(
        engine
            .deploy(&other, project.id, DeployRequest::latest())
            .await
            .unwrap_err()
    ));
    assert!(not_found(
        engine.cancel(&other, asked.id, "mine").await.unwrap_err()
    ));
    assert!(not_found(
        engine.follow(&other, asked.id, 0).await.unwrap_err()
    ));
    assert!(not_found(
        engine.read_log(&other, asked.id, 0, 10).await.unwrap_err()
    ));
    assert!(not_found(
        engine.rollback(&other, project.id, None).await.unwrap_err()
    ));
    // The name of a project of another tenant is free, its host name is not.
    let url = GitUrl::parse("https://git.example.com/eve/blog.git").unwrap();
    let theirs = engine
        .create_project(&other, ProjectRequest::new("Blog", url).unwrap())
        .await
        .unwrap();
    assert_ne!(theirs.slug, project.slug);
}
