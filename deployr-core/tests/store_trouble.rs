//! A store that takes some writes and refuses others. Time is tokio's, and passes as soon as
//! everybody waits for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, Engine, ProjectRequest};
use deployr_core::model::{Actor, DeploymentStatus, Project};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::testing::{
    FaultPlan, MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource, Strike,
};
use deployr_core::value::{CommitId, GitUrl, TenantId};
use tokio::time::sleep;

const LEASE: Duration = Duration::from_secs(60);

fn engine(plan: &FaultPlan) -> Engine {
    Engine::builder()
        .store(Arc::new(plan.wrap(Arc::new(MemoryStore::default()))))
        .source(Arc::new(ScriptedSource::new(
            CommitId::parse("a".repeat(40)).unwrap(),
        )))
        .builder(Arc::new(ScriptedBuilder::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap()
}

async fn project(engine: &Engine) -> (Actor, Project) {
    let me = Actor::new(TenantId::parse("acme").unwrap(), "ada");
    let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
    let request = ProjectRequest::new("blog", url).unwrap();
    let project = engine.create_project(&me, request).await.unwrap();
    (me, project)
}

#[tokio::test(start_paused = true)]
async fn a_deployment_without_the_end_of_its_log_is_not_over() {
    let plan = FaultPlan::default();
    let engine = engine(&plan);
    let (me, project) = project(&engine).await;

    plan.strike_all("append_log", Strike::Refuse);
    let asked = engine.deploy(&me, project.id, DeployRequest::latest());
    let asked = asked.await.unwrap();
    let _worker = engine.worker().lease(LEASE).spawn();
    sleep(Duration::from_secs(5)).await;
    let held_up = engine.deployment(&me, asked.id).await.unwrap();
    assert!(!held_up.status.is_final(), "{:?}", held_up.status);
    // It has gone as far as it could, and comes back.
    assert!(plan.calls().contains(&"fail"), "{:?}", plan.calls());
    assert!(!plan.calls().contains(&"finish"), "{:?}", plan.calls());
}

#[tokio::test(start_paused = true)]
async fn lines_that_the_store_refuses_are_told_while_it_takes_heartbeats() {
    let plan = FaultPlan::default();
    let engine = engine(&plan);
    let (me, project) = project(&engine).await;

    plan.strike_all("append_log", Strike::Before);
    let asked = engine.deploy(&me, project.id, DeployRequest::latest());
    let asked = asked.await.unwrap();
    let _worker = engine.worker().lease(LEASE).spawn();
    sleep(LEASE * 3).await;
    let beats = plan.calls();
    let beats = beats.iter().filter(|call| **call == "heartbeat").count();
    assert!(beats >= 10, "{beats} heartbeats were taken");
    let trouble = engine.store_trouble().expect("told");
    let since = trouble.since.elapsed();
    assert!(
        since > LEASE * 2,
        "no heartbeat has ended it: {trouble:?}, {since:?}"
    );
    assert!(trouble.error.contains("append_log"), "{trouble:?}");

    plan.reset();
    sleep(LEASE).await;
    let ended = engine.deployment(&me, asked.id).await.unwrap();
    assert_eq!(ended.status, DeploymentStatus::Success);
    let trouble = engine.store_trouble();
    assert!(trouble.is_none(), "{trouble:?}");
}
