//! The store in memory keeps the rules of all stores.

use std::sync::Arc;

use deployr_core::store::Store;
use deployr_core::testing::store::{agrees_with_memory, conformance};
use deployr_core::testing::{ManualClock, MemoryStore};

async fn memory(clock: Arc<ManualClock>) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(clock))
}

#[tokio::test]
async fn memory_store_conforms() {
    conformance(memory).await;
}

#[tokio::test]
async fn memory_store_agrees_with_itself_and_keeps_its_invariants() {
    for seed in 0..20 {
        agrees_with_memory(memory, seed, 250).await;
    }
}
