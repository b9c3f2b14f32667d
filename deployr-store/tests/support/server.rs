//! Stores in a private Postgres: a schema each, in one database.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deployr_core::store::Store;
use deployr_core::system::Clock;
use deployr_core::testing::ManualClock;
use deployr_store::{PgOptions, PgStore};
use deployr_testkit::postgres::Postgres;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::Made;

/// The database that the tests of this process share.
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| Postgres::shared().database())
}

/// A schema of this process that nobody else has.
pub(crate) fn schema() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A store in that schema.
pub(crate) async fn open(schema: &str) -> PgStore {
    let options = PgOptions {
        schema: schema.to_owned(),
        ..PgOptions::default()
    };
    PgStore::open_with(url(), options).await.unwrap()
}

/// A connection behind the store's back.
pub(crate) async fn raw(schema: &str) -> PgConnection {
    let mut db = PgConnection::connect(url()).await.unwrap();
    run(&mut db, &format!("SET search_path = {schema}")).await;
    db
}

/// Carries out statements.
pub(crate) async fn run(db: &mut PgConnection, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    db.execute(sql).await.unwrap();
}

/// A store whose database's clock is `clock`: its connections look for functions in
/// their own schema first, where there is another `now()`.
pub(crate) async fn at(schema: &str, clock: &Arc<ManualClock>) -> PgStore {
    let now = "CREATE OR REPLACE FUNCTION now() RETURNS timestamptz STABLE LANGUAGE sql AS
               $$ SELECT timestamptz 'epoch'
                      + current_setting('test.now')::bigint * interval '1 microsecond' $$";
    let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema}; {now}");
    run(&mut raw(schema).await, &create).await;

    let path = format!("SET search_path = {schema}, pg_catalog");
    let (new, used) = (clock.clone(), clock.clone());
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .test_before_acquire(false)
        .after_connect(move |db, _| {
            let (path, now) = (path.clone(), new.now().timestamp_micros());
            Box::pin(async move {
                db.execute(AssertSqlSafe(path)).await?;
                set(db, now).await
            })
        })
        .before_acquire(move |db, _| {
            let now = used.now().timestamp_micros();
            Box::pin(async move { set(db, now).await.map(|()| true) })
        });
    let options = PgOptions {
        schema: schema.to_owned(),
        pool,
    };
    PgStore::open_with(url(), options).await.unwrap()
}

async fn set(db: &mut PgConnection, now: i64) -> sqlx::Result<()> {
    let set = sqlx::query("SELECT set_config('test.now', $1, false)").bind(now.to_string());
    set.execute(db).await.map(drop)
}

/// A fresh store for each check.
pub(crate) fn fresh(clock: Arc<ManualClock>) -> Made {
    Box::pin(async move { Arc::new(at(&schema(), &clock).await) as Arc<dyn Store> })
}

/// Waits until a call on that schema waits for a lock.
pub(crate) async fn until_one_waits(schema: &str) {
    let mut db = raw(schema).await;
    let waiting = "SELECT 1 FROM pg_locks
                   WHERE NOT granted
                     AND EXISTS (SELECT 1 FROM pg_locks AS held
                                 WHERE held.pid = pg_locks.pid
                                   AND held.relation = ANY (ARRAY[to_regclass('jobs'), to_regclass('job_keys')]))";
    while db.fetch_optional(waiting).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
