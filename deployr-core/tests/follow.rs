//! Following a log over the store in memory.

use std::sync::Arc;

use deployr_core::bus::LocalBus;
use deployr_core::testing::MemoryStore;
use deployr_core::testing::follow::{
    LossyBus, a_hundred_followers, a_stalled_follower_holds_little, lines_come_before_the_end,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_follow_one_log() {
    let (store, bus) = (MemoryStore::default(), LocalBus::default());
    a_hundred_followers(Arc::new(store), Arc::new(bus), 20_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_hints_lose_no_line() {
    let (store, bus) = (MemoryStore::default(), LossyBus::default());
    a_hundred_followers(Arc::new(store), Arc::new(bus), 5_000, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_little() {
    a_stalled_follower_holds_little(Arc::new(MemoryStore::default())).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_lines_are_seen_before_the_end() {
    lines_come_before_the_end(Arc::new(MemoryStore::default())).await;
}
