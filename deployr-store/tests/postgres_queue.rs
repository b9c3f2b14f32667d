//! The queue in Postgres, with many callers and many jobs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "others use the rest")]
#[path = "support/server.rs"]
mod place;
#[allow(dead_code, reason = "others use the rest")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use deployr_core::model::{Claim, Job, JobState, Limit};
use deployr_core::store::{Due, JobFault, JobQueue, NewJob, QueueStats};
use deployr_core::testing::ManualClock;
use deployr_core::value::{Label, TenantId};
use deployr_store::PgStore;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};

use place::{at, open, raw, run, schema, until_one_waits};
use support::{TERM, claim, limit, new_job, tenant};

#[tokio::test]
async fn a_claim_looks_at_no_more_jobs_than_it_takes() {
    let schema = schema();
    let store = open(&schema).await;
    for _ in 0..20 {
        let jobs = (0..1_000).map(|_| new_job()).collect();
        store.enqueue_all(&tenant("acme"), jobs).await.unwrap();
    }
    // Whatever the server makes of the statement at first and later.
    for _ in 0..10 {
        assert_eq!(claim(&store, 10).await.len(), 10);
    }
    // A connection that ends tells what it has read.
    drop(store);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut db = raw(&schema).await;
    let read = "SELECT idx_tup_read FROM pg_stat_user_indexes
                WHERE schemaname = current_schema() AND indexrelname = 'jobs_line'";
    let mut seen: i64 = 0;
    while seen < 100 {
        assert!(Instant::now() < deadline, "only {seen} entries seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
        seen = db.fetch_one(read).await.unwrap().get(0);
    }
    assert!(seen < 1_000, "{seen} entries of the index for 100 jobs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_for_the_same_keys_never_stand_in_each_others_way() {
    let schema = schema();
    let store = open(&schema).await;
    let before = deadlocks(&schema).await;
    let workers = (0..8_u32).map(|seed| {
        let store = store.clone();
        let schema = schema.clone();
        tokio::spawn(async move { work_with_keys(&store, &schema, seed).await })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    // All is done in the end: no key was left to a job that is over.
    loop {
        // One may wait for the sweep, where others were at its keys when it could have begun.
        let sweep = store.sweep(Some(TERM), TERM, 100).await.unwrap();
        assert_eq!(sweep.poisoned, 0);
        let leases = claim(&store, 50).await;
        let done: Vec<Claim> = leases.iter().map(|lease| lease.claim).collect();
        if done.is_empty() {
            break;
        }
        let answer = store.exchange(&done, None).await.unwrap();
        assert!(answer.completed.iter().all(Result::is_ok), "{answer:?}");
    }
    assert_eq!(store.queue_stats().await.unwrap(), QueueStats::default());
    assert_eq!(deadlocks(&schema).await, before);
}

/// Adds jobs of a few keys in all orders, and completes, fails and beats for others'.
async fn work_with_keys(store: &PgStore, schema: &str, seed: u32) {
    let mut db = raw(schema).await;
    for round in 0..15 {
        let keys = (0..4).map(|n| {
            let key = (seed * 7 + round * 3 + n * 5) % 6;
            // Some have none, some have one, some have two.
            let keys = (0..n.min(2)).map(|more| (key + more * 2) % 6);
            keys.filter(|key| *key < 5)
                .map(|key| limit(&format!("key:{key}"), 1 + key % 2))
                .collect()
        });
        let jobs = keys.map(|limits| NewJob {
            limits,
            ..new_job()
        });
        store
            .enqueue_all(&tenant("acme"), jobs.collect())
            .await
            .unwrap();
        let held = claim(store, 6).await;
        let mut claims: Vec<Claim> = held.iter().map(|lease| lease.claim).collect();
        if let Some(failed) = claims.pop() {
            let fault = JobFault {
                error: "a fault".to_owned(),
                retry_after: None,
            };
            store.fail(&failed, fault).await.unwrap();
        }
        let mut back = claims.clone();
        back.reverse();
        let (beats, completed, sweep) = tokio::join!(
            store.heartbeat(&claims, TERM),
            store.exchange(&back, None),
            store.sweep(Some(Duration::ZERO), Duration::ZERO, 10),
        );
        beats.unwrap();
        let completed = completed.unwrap().completed;
        assert!(completed.iter().all(Result::is_ok), "{completed:?}");
        assert_eq!(sweep.unwrap().poisoned, 0);
        let full = "SELECT key FROM job_keys WHERE holds GROUP BY key HAVING count(*) > max(max)";
        let full = db.fetch_optional(full).await.unwrap();
        assert!(full.is_none(), "more jobs of a key than it has places");
    }
}

async fn deadlocks(schema: &str) -> i64 {
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let row = sqlx::query(sql).fetch_one(&mut raw(schema).await).await;
    row.unwrap().get(0)
}

/// Locks a key as a call does.
async fn lock(db: &mut PgConnection, key: &str) {
    let lock = include_str!("../src/postgres/sql/lock_keys.sql");
    run(db, "BEGIN").await;
    let keys = vec![key.to_owned()];
    sqlx::query(lock).bind(keys).execute(db).await.unwrap();
}

async fn enqueue_with(store: &PgStore, limits: &[Limit]) -> Job {
    let new = NewJob {
        limits: limits.to_vec(),
        ..new_job()
    };
    store.enqueue(&tenant("acme"), new).await.unwrap()
}

async fn state(store: &PgStore, job: &Job) -> JobState {
    store.job(&tenant("acme"), job.id).await.unwrap().state
}

#[tokio::test(flavor = "multi_thread")]
async fn who_frees_a_place_waits_for_the_other_keys_of_the_next() {
    let schema = schema();
    let store = open(&schema).await;
    let (a, b) = (limit("a", 1), limit("b", 1));
    enqueue_with(&store, std::slice::from_ref(&a)).await;
    let next = enqueue_with(&store, &[a, b]).await;
    assert_eq!(next.state, JobState::Pending);
    let held = claim(&store, 1).await.remove(0);
    let mut other = raw(&schema).await;
    lock(&mut other, "b").await;
    let complete = tokio::spawn({
        let store = store.clone();
        async move { store.complete(&held.claim).await }
    });
    until_one_waits(&schema).await;
    run(&mut other, "ROLLBACK").await;
    complete.await.unwrap().unwrap();
    assert_eq!(state(&store, &next).await, JobState::Queued);
}

#[tokio::test]
async fn a_sweep_waits_for_nobody() {
    let (schema, clock) = (schema(), Arc::new(ManualClock::default()));
    let store = at(&schema, &clock).await;
    let due = |limits| NewJob {
        due: Due::After(TERM),
        limits,
        ..new_job()
    };
    let new = vec![due(vec![limit("k", 1)]), due(vec![]), due(vec![])];
    let jobs = store.enqueue_all(&tenant("acme"), new).await.unwrap();
    clock.advance(TERM);
    let mut other = raw(&schema).await;
    lock(&mut other, "k").await;
    let row = format!(
        "SELECT 1 FROM jobs WHERE id = '{}' FOR UPDATE",
        jobs[1].id.as_uuid()
    );
    run(&mut other, &row).await;
    let promoted = async || store.sweep(Some(TERM), TERM, 10).await.unwrap().promoted;
    assert_eq!(promoted().await, 1);
    assert_eq!(state(&store, &jobs[2]).await, JobState::Queued);
    run(&mut other, "ROLLBACK").await;
    assert_eq!(promoted().await, 2);
    assert_eq!(promoted().await, 0);
}

/// What no call does: a place was given up, and nobody told of it.
#[tokio::test]
async fn a_sweep_finds_those_that_wait_for_what_is_free() {
    let schema = schema();
    let store = open(&schema).await;
    let (a, b) = (limit("a", 1), limit("b", 1));
    let first = enqueue_with(&store, std::slice::from_ref(&a)).await;
    enqueue_with(&store, std::slice::from_ref(&b)).await;
    let both = enqueue_with(&store, &[a.clone(), b]).await;
    let next = enqueue_with(&store, &[a]).await;
    let give_up = format!("DELETE FROM job_keys WHERE job = '{}'", first.id.as_uuid());
    run(&mut raw(&schema).await, &give_up).await;
    let sweep = store.sweep(Some(TERM), TERM, 1).await.unwrap();
    assert_eq!((sweep.promoted, sweep.poisoned), (1, 0));
    assert_eq!(state(&store, &next).await, JobState::Queued);
    assert_eq!(state(&store, &both).await, JobState::Pending);
}

/// Has statements planned as the store has, knowing nothing of the table.
async fn as_the_store_does(db: &mut PgConnection, table: &str) {
    let set = format!(
        "ALTER TABLE {table} SET (autovacuum_enabled = off);
         SET plan_cache_mode = force_generic_plan; SET enable_bitmapscan = off"
    );
    run(db, &set).await;
}

/// The steps of a plan that read or change jobs, when it is carried out.
async fn plan(db: &mut PgConnection, call: &str) -> Vec<String> {
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE {call}");
    let rows = db.fetch_all(AssertSqlSafe(explain)).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// How many rows a scan of an index gave, each time.
fn rows_by(index: &str, plan: &[String]) -> f64 {
    let scan = plan
        .iter()
        .find(|step| step.contains(&format!(" using {index} on ")));
    let rows = scan.and_then(|step| step.split_once("(actual rows="));
    let (_, rows) = rows.unwrap_or_else(|| panic!("no scan of {index}: {plan:#?}"));
    rows.split(' ').next().unwrap().parse().unwrap()
}

/// Whether the server knows its tables or not.
#[tokio::test]
async fn a_line_is_followed_by_its_index() {
    let schema = schema();
    let store = open(&schema).await;
    let mut db = raw(&schema).await;
    as_the_store_does(&mut db, "jobs").await;
    let gpu = Label::parse("gpu").unwrap();
    for batch in 0..50_i16 {
        let new = (0..1_000_i16).map(|n| {
            let mut new = NewJob {
                priority: n % 3,
                ..new_job()
            };
            if batch % 2 == 0 {
                new.needs.insert(gpu.clone());
            }
            new
        });
        let tenant = TenantId::parse(format!("tenant-{}", batch % 5)).unwrap();
        store.enqueue_all(&tenant, new.collect()).await.unwrap();
    }
    let prepare = concat!(
        "PREPARE claim (uuid[], bigint[], uuid[], text, text, bigint, text[], uuid, interval, \
         uuid[], text[]) AS ",
        include_str!("../src/postgres/sql/exchange.sql"),
    );
    run(&mut db, prepare).await;
    let prepare = concat!(
        "PREPARE lines (text, text[], text[], smallint[]) AS ",
        include_str!("../src/postgres/sql/lines.sql"),
    );
    run(&mut db, prepare).await;
    for known in [false, true] {
        if known {
            run(&mut db, "ANALYZE").await;
        }
        let lines = plan(&mut db, "lines ('tenant-1', '{work}', '{\"\"}', '{0}')").await;
        assert_eq!(rows_by("jobs_line", &lines), 1.0, "{lines:#?}");
        assert_eq!(rows_by("jobs_of_tenant", &lines), 1.0, "{lines:#?}");
        let claim = "claim ('{}', '{}', '{}', 'completed', 'complete', 10, '{work}', \
                     gen_random_uuid(), '30 s', '{}', '{arm,gpu}')";
        let claim = plan(&mut db, claim).await;
        assert_eq!(rows_by("jobs_line", &claim), 10.0, "{claim:#?}");
        let scan = claim.iter().find(|step| step.contains("Seq Scan on jobs"));
        assert_eq!(scan, None, "{claim:#?}");
    }
}

#[tokio::test]
async fn who_frees_a_place_looks_at_the_first_that_wait() {
    let schema = schema();
    let store = open(&schema).await;
    let mut db = raw(&schema).await;
    as_the_store_does(&mut db, "job_keys").await;
    for _ in 0..5 {
        let new = (0..1_000).map(|_| NewJob {
            limits: vec![limit("k", 1)],
            ..new_job()
        });
        let new = new.collect();
        store.enqueue_all(&tenant("acme"), new).await.unwrap();
    }
    let prepare = concat!(
        "PREPARE waiting (text[], uuid[]) AS ",
        include_str!("../src/postgres/sql/waiting_job.sql"),
    );
    run(&mut db, prepare).await;
    for known in [false, true] {
        if known {
            run(&mut db, "ANALYZE").await;
        }
        let plan = plan(&mut db, "waiting ('{k}', '{}')").await;
        assert_eq!(rows_by("job_keys_waiting", &plan), 100.0, "{plan:#?}");
    }
    let held = claim(&store, 9).await;
    assert_eq!(held.len(), 1);
    store.complete(&held[0].claim).await.unwrap();
    assert_eq!(claim(&store, 9).await.len(), 1);
}
