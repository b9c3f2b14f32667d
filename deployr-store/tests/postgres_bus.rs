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
    let mut db = PgConnection::connect(&url).await.unwrap();
    let mut cut = Vec::new();
    for _ in 0..3 {
        let listening = listening(&mut db, &cut).await;
        there.publish(Hint::Jobs);
        wait_for(&mut hints, Hint::Jobs).await;
        for pid in listening {
            let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid);
            db.execute(end).await.unwrap();
            cut.push(pid);
        }
        wait_for(&mut hints, Hint::Missed).await;
    }
    listening(&mut db, &cut).await;
    there.publish(Hint::Cancel);
    wait_for(&mut hints, Hint::Cancel).await;
}

/// Waits until each of two nodes has one connection to listen with, none of those that were
/// cut; gives their processes.
async fn listening(db: &mut PgConnection, cut: &[i32]) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> ALL($1)";
    let wait = async {
        loop {
            let found = sqlx::query(sql).bind(cut).fetch_all(&mut *db).await;
            let found: Vec<i32> = found.unwrap().iter().map(|row| row.get(0)).collect();
            if found.len() == 2 {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, wait).await.unwrap()
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
