//! A target with a builder of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, Engine, ProjectRequest};
use deployr_core::model::{Actor, DeploymentStatus};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::system::SystemClock;
use deployr_core::testing::{MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource};
use deployr_core::value::{CommitId, GitUrl, TargetName, TenantId};

#[tokio::test]
async fn each_target_is_built_for_by_its_own_builder() {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let commit = CommitId::parse("a".repeat(40)).unwrap();
    let (usual, own) = (ScriptedBuilder::default(), ScriptedBuilder::default());
    let engine = Engine::builder()
        .store(store)
        .source(Arc::new(ScriptedSource::new(commit)))
        .builder(Arc::new(usual.clone()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .target(
            "docker",
            Arc::new(ScriptedExecutor::default()),
            Arc::new(own.clone()),
        )
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap();
    let worker = engine.worker().spawn();
    let me = Actor::new(TenantId::parse("acme").unwrap(), "ada");
    for (target, builds, others) in [("local", &usual, &own), ("docker", &own, &usual)] {
        let before = others.script().calls().len();
        let url = GitUrl::parse("https://git.example.com/acme/app.git").unwrap();
        let mut request = ProjectRequest::new(target, url).unwrap();
        request.settings.target = TargetName::parse(target).unwrap();
        let project = engine.create_project(&me, request).await.unwrap();
        engine.plan(&me, project.id, None).await.unwrap();
        let deployment = engine
            .deploy(&me, project.id, DeployRequest::default())
            .await
            .unwrap();
        let mut events = engine.follow(&me, deployment.id, 0).await.unwrap();
        while events.try_next().await.unwrap().is_some() {}
        let ended = engine.deployment(&me, deployment.id).await.unwrap();
        assert_eq!(ended.status, DeploymentStatus::Success, "{ended:?}");
        // Once for the plan, once for the deployment.
        for (call, times) in [("prepare", 2), ("detect", 2), ("build", 1), ("clean", 2)] {
            assert_eq!(builds.script().count(call), times, "{call} for {target}");
        }
        assert_eq!(others.script().calls().len(), before, "{target}");
    }
    worker.drain(Duration::from_secs(10)).await;
}
