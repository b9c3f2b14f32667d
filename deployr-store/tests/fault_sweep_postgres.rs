//! A fault at any call leaves an engine that goes on: over Postgres, a schema for each run
//! and a store for each process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "others use the rest")]
#[path = "support/server.rs"]
mod place;
#[allow(dead_code, reason = "others use the rest")]
mod support;

use std::sync::{Arc, OnceLock, mpsc};

use async_trait::async_trait;
use deployr_core::model::JobId;
use deployr_core::store::Store;
use deployr_core::testing::ManualClock;
use deployr_core::testing::sweep::{Disk, Sweep};
use tokio::runtime::{Builder, Handle, Runtime};

use place::{at, raw, run, schema};

/// The one that carries the connections: that of a run has a clock which is paused.
fn connections() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let make = || Builder::new_multi_thread().enable_all().build();
    RUNTIME.get_or_init(|| make().unwrap())
}

/// Waits for work with connections, without letting go of the thread.
fn wait_for<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, answer) = mpsc::channel();
    connections().spawn(async move { sender.send(work.await) });
    answer.recv().unwrap()
}

/// A schema.
struct PgDisk {
    schema: String,
    /// The one whose content it has at first.
    original: Option<String>,
}

impl PgDisk {
    fn new() -> Self {
        Self {
            schema: schema(),
            original: None,
        }
    }
}

/// All rows of one schema, into the empty tables of another.
async fn fill(schema: &str, original: &str) {
    let fill = format!(
        "SET session_replication_role = replica;
         DO $$ DECLARE name text; serial text; BEGIN
             FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{original}' LOOP
                 EXECUTE format('DELETE FROM {schema}.%I', name);
                 EXECUTE format('INSERT INTO {schema}.%I OVERRIDING SYSTEM VALUE
                                 SELECT * FROM {original}.%I', name, name);
             END LOOP;
             FOR name, serial IN SELECT table_name, column_name FROM information_schema.columns
                     WHERE table_schema = '{schema}' AND is_identity = 'YES' LOOP
                 EXECUTE format('SELECT setval(pg_get_serial_sequence(''{schema}.%I'', %L),
                                 coalesce(max(%I), 0) + 1, false) FROM {schema}.%I',
                                name, serial, serial, name);
             END LOOP;
         END $$"
    );
    run(&mut raw(schema).await, &fill).await;
}

#[async_trait]
impl Disk for PgDisk {
    async fn open(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let (schema, original) = (self.schema.clone(), self.original.clone());
        wait_for(async move {
            let mut db = raw(&schema).await;
            let there = format!("SELECT 1 FROM pg_tables WHERE schemaname = '{schema}'");
            let there = sqlx::query(sqlx::AssertSqlSafe(there));
            let is_new = there.fetch_optional(&mut db).await.unwrap().is_none();
            let store = at(&schema, &clock).await;
            if let Some(original) = original.filter(|_| is_new) {
                fill(&schema, &original).await;
            }
            Arc::new(store)
        })
    }

    async fn copy(&self) -> Arc<dyn Disk> {
        // One that was never opened has nothing in it.
        let schema_of_this = self.schema.clone();
        let there = wait_for(async move {
            let there = format!("SELECT to_regclass('{schema_of_this}.jobs') IS NOT NULL");
            let there = sqlx::query_scalar(sqlx::AssertSqlSafe(there));
            there.fetch_one(&mut raw("public").await).await.unwrap()
        });
        Arc::new(Self {
            schema: schema(),
            original: Some(self.schema.clone()).filter(|_| there),
        })
    }

    async fn poison(&self, job: JobId) {
        let schema = self.schema.clone();
        let id = job.as_uuid();
        let sql = format!(
            "UPDATE jobs SET input = '{{', state = 'running', fence = 1, attempt = 1,
             worker = '{id}', lease_until = timestamptz 'epoch' WHERE id = '{id}'"
        );
        wait_for(async move { run(&mut raw(&schema).await, &sql).await });
    }

    fn runtime(&self) -> Option<Handle> {
        Some(connections().handle().clone())
    }
}

impl Drop for PgDisk {
    fn drop(&mut self) {
        // Whoever still has it open makes no more calls.
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        connections().spawn(async move { run(&mut raw("public").await, &sql).await });
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

fn sweep() -> Sweep {
    Sweep::new(runtime, || Arc::new(PgDisk::new()))
}

#[test]
fn a_fault_at_any_call_leaves_an_engine_that_goes_on() {
    sweep().one_of(128).every_call();
}

#[test]
fn two_faults_at_random_leave_an_engine_that_goes_on() {
    sweep().soak(3);
}
