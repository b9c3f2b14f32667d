//! Following a log over SQLite.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use deployr_core::bus::LocalBus;
use deployr_core::testing::follow::{
    LossyBus, a_hundred_followers, a_stalled_follower_holds_little,
};
use deployr_store::SqliteStore;
use tempfile::TempDir;

async fn store() -> (Arc<SqliteStore>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("deployr.db")).await;
    (Arc::new(store.unwrap()), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_follow_one_log() {
    let (store, _folder) = store().await;
    a_hundred_followers(store, Arc::new(LocalBus::default()), 20_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_hints_lose_no_line() {
    let (store, _folder) = store().await;
    a_hundred_followers(store, Arc::new(LossyBus::default()), 5_000, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_little() {
    let (store, _folder) = store().await;
    a_stalled_follower_holds_little(store).await;
}
