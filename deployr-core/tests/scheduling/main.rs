//! What a scheduler does beside each worker, and what it tells. Time is tokio's, and passes as
//! soon as everybody waits for it; the store's clock is moved by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod retention;
mod retry_policy;
mod schedules;
mod why;

use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{Engine, EngineBuilder};
use deployr_core::model::Actor;
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::testing::{MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource};
use deployr_core::value::{CommitId, TenantId};

/// An engine over parts in memory.
fn engine(store: &Arc<MemoryStore>) -> EngineBuilder {
    let commit = CommitId::parse("a".repeat(40)).unwrap();
    Engine::builder()
        .store(store.clone())
        .source(Arc::new(ScriptedSource::new(commit)))
        .builder(Arc::new(ScriptedBuilder::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
}

fn ada() -> Actor {
    Actor::new(TenantId::parse("acme").unwrap(), "ada")
}

/// A few polls, sweeps and reports.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(40)).await;
}
