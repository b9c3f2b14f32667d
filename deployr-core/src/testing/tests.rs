//! The parts in memory keep the rules of the real ones, and faults strike where they shall.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::executor::{ExecutorHarness, Serves, Site};
use super::ingress::{IngressHarness, http_get};
use super::*;
use crate::builder::{Artifact, ArtifactContent};
use crate::executor::{Endpoint, Executor};
use crate::model::Page;
use crate::store::{Projects, Store, StoreError};
use crate::value::TenantId;

/// The folders of its sites do not exist: their names are what they say.
#[derive(Default)]
struct MemoryHarness(ScriptedExecutor);

#[async_trait]
impl ExecutorHarness for MemoryHarness {
    async fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(self.0.clone())
    }

    async fn site(&self, serves: Serves, text: &str) -> Site {
        let folder = std::env::temp_dir().join("deployr-testing-site");
        let site = Site::in_folder(&folder, serves, text);
        let content = ArtifactContent::Folder(text.into());
        Site {
            artifact: Artifact {
                content,
                ..site.artifact
            },
            ..site
        }
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<String, String> {
        let up = self.0.release_at(endpoint).ok_or("no such release")?;
        match &up.artifact.content {
            ArtifactContent::Folder(text) => Ok(text.display().to_string()),
            other => Err(format!("{other:?}")),
        }
    }
}

#[tokio::test]
async fn scripted_executor_conforms() {
    super::executor::conformance(async || {
        Arc::new(MemoryHarness::default()) as Arc<dyn ExecutorHarness>
    })
    .await;
}

#[tokio::test]
async fn scripted_ingress_conforms() {
    super::ingress::conformance(async || {
        let ingress = ScriptedIngress::default();
        let routes = ingress.clone();
        let visit = move |slug| {
            let route = routes.routed(&slug);
            async move {
                match route.map(|route| route.endpoint) {
                    Some(Endpoint::Http { address }) => {
                        let get = move || http_get(address, "app.localhost");
                        tokio::task::spawn_blocking(get).await.unwrap()
                    }
                    _ => Err("no route".to_owned()),
                }
            }
        };
        IngressHarness::new(Arc::new(ingress), visit).without_drain()
    })
    .await;
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_strike_does_what_it_says() {
    let clock = Arc::new(ManualClock::default());
    let memory = Arc::new(MemoryStore::new(clock.clone()));
    let bench = store::Bench::new(memory.clone(), clock);
    let plan = FaultPlan::default();
    let faulty = plan.wrap(memory as Arc<dyn Store>);
    let made = async || {
        let all = bench.store.projects(&acme(), Page::first(9)).await.unwrap();
        all.len()
    };
    let pause = Duration::from_secs(5);
    let strikes = [
        (Strike::Before, 0),
        (Strike::Refuse, 0),
        (Strike::After, 1),
        (Strike::RefuseAfter, 2),
        (Strike::HangBefore, 2),
        // The memory store does all of it at once.
        (Strike::HangWithin, 3),
        (Strike::HangAfter, 4),
        (Strike::Delay(pause), 5),
        (Strike::Stall(pause), 6),
    ];
    for (n, (strike, left)) in (1..).zip(strikes) {
        plan.strike(n, strike);
        let new = bench.new_project(&format!("app{n}"));
        let call = faulty.create_project(&bench.actor, new);
        let answer = tokio::time::timeout(Duration::from_secs(60), call).await;
        match strike {
            Strike::Before | Strike::After => {
                assert!(matches!(answer, Ok(Err(StoreError::Unavailable { .. }))));
            }
            Strike::Refuse | Strike::RefuseAfter => {
                assert!(matches!(answer, Ok(Err(StoreError::Corrupt { .. }))));
            }
            Strike::HangBefore | Strike::HangWithin | Strike::HangAfter => {
                assert!(answer.is_err());
                plan.hung().await;
            }
            Strike::Delay(_) => assert!(answer.unwrap().is_ok()),
            Strike::Stall(_) => {
                plan.stalled().await;
                assert!(answer.unwrap().is_ok());
            }
        }
        assert_eq!(made().await, left, "after {strike:?}");
    }
    assert_eq!(plan.count(), strikes.len());
    assert_eq!(plan.calls(), ["create_project"; 9]);
    plan.reset();
    assert!(faulty.projects(&acme(), Page::first(1)).await.is_ok());
    assert_eq!(plan.count(), 1);
}

#[tokio::test]
async fn a_wrapped_store_is_still_a_store() {
    store::conformance(async |clock| {
        let memory = Arc::new(MemoryStore::new(clock));
        Arc::new(FaultPlan::default().wrap(memory)) as Arc<dyn Store>
    })
    .await;
}

/// A store that lies in one way, and the check that must find out.
#[tokio::test]
async fn a_check_that_fails_is_told_by_name() {
    let clock = Arc::new(ManualClock::default());
    let plan = FaultPlan::default();
    plan.strike(1, Strike::Before);
    let store = Arc::new(plan.wrap(Arc::new(MemoryStore::new(clock.clone()))));
    let checks = store::checks();
    let check = checks
        .iter()
        .find(|check| check.name == "an_id_is_enqueued_once")
        .unwrap();
    let reason = check.run(store, clock).await.unwrap_err();
    assert!(reason.contains("struck by a test"), "{reason}");
}

#[test]
fn seeded_entropy_is_the_same_each_time() {
    use crate::system::Entropy;
    let bytes = |seed| {
        let mut bytes = [0; 19];
        SeededEntropy::new(seed).fill(&mut bytes);
        bytes
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}
