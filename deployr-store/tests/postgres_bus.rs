//! What every bus must do, asked of the bus of Postgres; and following a log from one
//! node that another writes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use deployr_core::bus::{EventBus, Hint, Hints};
use deployr_core::testing::bus::conformance;
use deployr_core::testing::follow::{
    LossyBus, a_hundred_followers, a_stalled_follower_holds_little,
};
use deployr_store::PgStore;
use deployr_testkit::postgres::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};

async fn store() -> PgStore {
    let url = Postgres::shared().database();
    PgStore::open(&url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_rule_of_the_suite() {
    conformance(async |nodes| {
        let url = Postgres::shared().database();
        let mut buses: Vec<Arc<dyn EventBus>> = Vec::new();
        for _ in 0..nodes {
            let store = PgStore::open(&url).await.unwrap();
            buses.push(Arc::new(store.bus().await.unwrap()));
        }
        buses
    })
    .await;
}

async fn wait_for(hints: &mut Hints, wanted: Hint) {
    let wait = async { while hints.next().await != wanted {} };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("{wanted:?} does not come"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_told_and_replaced() {
    let url = Postgres::shared().database();
    let (a, b) = tokio::join!(PgStore::open(&url), PgStore::open(&url));
    let (here, there) = (
        a.unwrap().bus().await.unwrap(),
        b.unwrap().bus().await.unwrap(),
    );
    let mut hints = here.subscribe();
    for _ in 0..3 {
        there.publish(Hint::Jobs);
        wait_for(&mut hints, Hint::Jobs).await;
        let mut db = PgConnection::connect(&url).await.unwrap();
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        let cut: i64 = db.fetch_one(cut).await.unwrap().get(0);
        assert_eq!(cut, 2, "each node has one connection to listen with");
        wait_for(&mut hints, Hint::Missed).await;
    }
    there.publish(Hint::Cancel);
    wait_for(&mut hints, Hint::Cancel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_dropped_leaves_its_connection() {
    let url = Postgres::shared().database();
    let store = PgStore::open(&url).await.unwrap();
    drop(store.bus().await.unwrap());
    let mut db = PgConnection::connect(&url).await.unwrap();
    let listening = "SELECT 1 FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let gone = async {
        while db.fetch_optional(listening).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_follow_one_log() {
    let store = store().await;
    let bus = Arc::new(store.bus().await.unwrap());
    a_hundred_followers(Arc::new(store), bus, 5_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_hints_lose_no_line() {
    let store = Arc::new(store().await);
    a_hundred_followers(store, Arc::new(LossyBus::default()), 2_000, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_little() {
    a_stalled_follower_holds_little(Arc::new(store().await)).await;
}
