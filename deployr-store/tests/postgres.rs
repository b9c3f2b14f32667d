//! What every store must do, asked of the Postgres store, and what only a server can do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "support/server.rs"]
mod place;
mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use deployr_core::model::{Actor, Claim, JobId, JobState, Page, WorkerId};
use deployr_core::store::{
    Audit, Beat, Deployments, Housekeeping, JobQueue, Projects, Retention, StoreError,
};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{ManualClock, store::agrees_with_memory, store::conformance};
use deployr_store::{PgOptions, PgStore};
use deployr_testkit::postgres::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};

use place::{at, fresh, open, raw, run, schema, until_one_waits, url};
use support::{TERM, claim, enqueue, limit, new_deployment, new_job, project, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_rule_of_the_suite() {
    conformance(fresh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_random_calls_as_the_memory_store_does() {
    let walk = |seed| agrees_with_memory(fresh, seed, 60);
    tokio::join!(walk(1), walk(2), walk(3), walk(4), walk(5), walk(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_job_is_given_to_two_nodes() {
    let schema = schema();
    let (a, b) = tokio::join!(open(&schema), open(&schema));
    let jobs = (0..500).map(|_| {
        let store = a.clone();
        tokio::spawn(async move { enqueue(&store).await.id })
    });
    let mut wanted = HashSet::new();
    for job in jobs.collect::<Vec<_>>() {
        wanted.insert(job.await.unwrap());
    }

    let workers = (0..8).map(|n| {
        let store = if n % 2 == 0 { a.clone() } else { b.clone() };
        tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let leases = claim(&store, 7).await;
                if leases.is_empty() {
                    return taken;
                }
                taken.extend(leases.into_iter().map(|lease| lease.job.id));
            }
        })
    });
    let mut given = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        given.extend(worker.await.unwrap());
    }
    assert_eq!(given.len(), 500, "each once");
    assert_eq!(given.into_iter().collect::<HashSet<_>>(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn many_openers_may_migrate_at_once() {
    let schema = schema();
    let openers = (0..12).map(|_| {
        let schema = schema.clone();
        tokio::spawn(async move { open(&schema).await })
    });
    for opener in openers.collect::<Vec<_>>() {
        opener.await.unwrap();
    }
    let store = open(&schema).await;
    assert_eq!(store.queue_stats().await.unwrap().queued, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_all_after_it_was_closed() {
    let (schema, clock) = (schema(), Arc::new(ManualClock::default()));
    let store = at(&schema, &clock).await;
    let app = project(&store, "acme", "app").await;
    let job = enqueue(&store).await;
    let held = claim(&store, 1).await.remove(0);
    drop(store);

    let store = at(&schema, &clock).await;
    assert_eq!(store.project(&tenant("acme"), app.id).await.unwrap(), app);
    assert_eq!(store.job(&tenant("acme"), job.id).await.unwrap(), held.job);
    store.complete(&held.claim).await.unwrap();
    drop(store);

    let store = at(&schema, &clock).await;
    store
        .complete(&held.claim)
        .await
        .expect("the answer was lost, and the call is made again");
    let other = Claim {
        worker: WorkerId::new(SystemClock.now(), &SystemEntropy),
        ..held.claim
    };
    assert!(matches!(
        store.complete(&other).await,
        Err(StoreError::LeaseLost { .. })
    ));
}

#[tokio::test]
async fn poisoned_rows_stop_no_others() {
    let (schema, clock) = (schema(), Arc::new(ManualClock::default()));
    let store = at(&schema, &clock).await;
    let poisoned = [enqueue(&store).await.id, enqueue(&store).await.id];
    let good = enqueue(&store).await.id;
    let poison = async |id: JobId, input: &str| {
        let sql = format!(
            "UPDATE jobs SET input = '{input}' WHERE id = '{}'",
            id.as_uuid()
        );
        run(&mut raw(&schema).await, &sql).await;
    };

    poison(poisoned[0], "{").await;
    poison(poisoned[1], "").await;
    let leases = claim(&store, 1).await;
    assert_eq!(leases[0].job.id, good);
    assert!(matches!(
        store.job(&tenant("acme"), poisoned[0]).await,
        Err(StoreError::Corrupt { .. })
    ));

    poison(poisoned[0], "{}").await;
    assert_eq!(claim(&store, 9).await[0].job.id, poisoned[0]);
    poison(poisoned[0], "{").await;
    clock.advance(TERM * 2);
    let sweep = store
        .sweep(Some(Duration::ZERO), Duration::ZERO, 1)
        .await
        .unwrap();
    assert_eq!(sweep.rescued, [(good, JobState::Queued)]);
    assert_eq!(sweep.poisoned, 1);

    clock.advance(Duration::from_secs(86_400));
    let sweep = store
        .sweep(Some(Duration::ZERO), Duration::ZERO, 10)
        .await
        .unwrap();
    assert_eq!(
        (sweep.timed_out, sweep.poisoned),
        (vec![good], 2),
        "an expired and a late one"
    );
}

#[tokio::test]
async fn old_rows_that_cannot_go_keep_no_others() {
    let (schema, clock) = (schema(), Arc::new(ManualClock::default()));
    let store = at(&schema, &clock).await;
    project(&store, "acme", "app").await;
    enqueue(&store).await;
    let lease = claim(&store, 1).await.remove(0);
    store.complete(&lease.claim).await.unwrap();
    clock.advance(Duration::from_secs(500 * 86_400));
    let sql = "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN RAISE 'stays'; END $$;
               CREATE TRIGGER stay BEFORE DELETE ON jobs EXECUTE FUNCTION stay();";
    run(&mut raw(&schema).await, sql).await;
    store.prune(&Retention::default(), 10).await.unwrap_err();
    let left = store.audit(&tenant("acme"), Page::first(9)).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn another_tenants_rows_do_not_exist() {
    let store = open(&schema()).await;
    let app = project(&store, "acme", "app").await;
    let job = enqueue(&store).await;
    let other = tenant("other");
    let missing = |error| assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    missing(store.project(&other, app.id).await.unwrap_err());
    missing(store.find_project(&other, &app.name).await.unwrap_err());
    missing(store.env(&other, app.id).await.unwrap_err());
    missing(store.job(&other, job.id).await.unwrap_err());
    assert!(
        store
            .projects(&other, Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .deployments(&other, Some(app.id), Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .audit(&other, Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_writers_at_once_all_succeed() {
    let store = open(&schema()).await;
    let writers = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let job = enqueue(&store).await;
                assert_eq!(store.job(&tenant("acme"), job.id).await.unwrap(), job);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(store.queue_stats().await.unwrap().queued, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_breaks_nothing() {
    let store = open(&schema()).await;
    for _ in 0..50 {
        let acme = tenant("acme");
        let call = store.enqueue(&acme, new_job());
        let _ = tokio::time::timeout(Duration::from_micros(1), call).await;
    }
    enqueue(&store).await;
    assert!(store.queue_stats().await.unwrap().queued >= 1);
}

#[tokio::test]
async fn refuses_the_tables_of_a_newer_version() {
    let schema = schema();
    open(&schema).await;
    let newer = "INSERT INTO schema_version (version) VALUES (99)";
    run(&mut raw(&schema).await, newer).await;
    let options = PgOptions {
        schema,
        ..PgOptions::default()
    };
    let error = PgStore::open_with(url(), options).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("version 99"), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn refuses_a_schema_that_would_be_more_than_a_name() {
    for name in [
        "",
        "Deployr",
        "a b",
        "a;drop schema public",
        "1a",
        &"a".repeat(51),
    ] {
        let options = PgOptions {
            schema: name.to_owned(),
            ..PgOptions::default()
        };
        let error = PgStore::open_with(url(), options).await.unwrap_err();
        assert!(error.to_string().contains("plain name"), "{error}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_the_password() {
    let url = "postgres://deployr:hunter2@127.0.0.1:1/deployr?sslmode=disable";
    let options = PgOptions {
        pool: PgOptions::default()
            .pool
            .acquire_timeout(Duration::from_millis(300)),
        ..PgOptions::default()
    };
    let error = PgStore::open_with(url, options).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1/deployr"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_server_with_no_connection_left_can_be_asked_again() {
    let role = schema();
    let create = format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0");
    run(&mut raw("public").await, &create).await;
    let url = url().replace("deployr@", &format!("{role}@"));
    let options = PgOptions {
        pool: PgOptions::default()
            .pool
            .acquire_timeout(Duration::from_millis(300)),
        ..PgOptions::default()
    };
    let error = PgStore::open_with(&url, options).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert!(
        error.to_string().contains("connections are taken"),
        "{error}"
    );
}

#[tokio::test]
async fn a_wait_for_a_lock_ends() {
    let schema = schema();
    let store = open(&schema).await;
    let job = enqueue(&store).await;
    let held = claim(&store, 1).await.remove(0);
    enqueue(&store).await;
    let mut other = raw(&schema).await;
    run(&mut other, "BEGIN; SELECT 1 FROM jobs FOR UPDATE").await;
    let error = store.heartbeat(&[held.claim], TERM).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert!(error.to_string().contains("55P03"), "{error}");
    assert_eq!(
        store.job(&tenant("acme"), job.id).await.unwrap(),
        held.job,
        "reads wait for nobody"
    );
    assert!(claim(&store, 9).await.is_empty(), "nor does a claim");
    run(&mut other, "ROLLBACK").await;
    let beats = store.heartbeat(&[held.claim], TERM).await.unwrap();
    assert_eq!(beats, [Beat::Held { cancel: false }]);
}

/// The store is the one that the server gives up: it looks for a deadlock at once, and
/// the other in a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_stood_in_anothers_way_is_made_again() {
    let schema = schema();
    let store = open(&schema).await;
    for _ in 0..2 {
        enqueue(&store).await;
    }
    let mut claims: Vec<Claim> = claim(&store, 2)
        .await
        .iter()
        .map(|lease| lease.claim)
        .collect();
    claims.sort_by_key(|claim| claim.job);
    let update = |claim: &Claim| {
        let id = claim.job.as_uuid();
        format!("UPDATE jobs SET error = 'seen' WHERE id = '{id}'")
    };
    let (first, last) = (update(&claims[0]), update(&claims[1]));
    let mut other = raw(&schema).await;
    run(
        &mut other,
        &format!("SET deadlock_timeout = '60s'; BEGIN; {last}"),
    )
    .await;
    let beat = tokio::spawn({
        let store = store.clone();
        async move { store.heartbeat(&claims, TERM).await }
    });
    until_one_waits(&schema).await;
    run(&mut other, &format!("{first}; COMMIT")).await;
    let beats = beat.await.unwrap().unwrap();
    assert_eq!(beats, [Beat::Held { cancel: false }; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_locks_its_jobs_in_the_order_of_their_ids() {
    let schema = schema();
    let store = open(&schema).await;
    // Of the two, the one with a key comes first, and takes the longer way.
    let mut jobs = vec![new_job(), new_job()];
    jobs.sort_by_key(|job| job.id);
    jobs[0].limits = vec![limit("key", 1)];
    let [first, last] = [&jobs[0], &jobs[1]].map(|job| job.id);
    store.enqueue_all(&tenant("acme"), jobs).await.unwrap();
    let held = claim(&store, 2).await;
    let lock = |id: JobId| {
        format!(
            "BEGIN; SELECT 1 FROM jobs WHERE id = '{}' FOR UPDATE",
            id.as_uuid()
        )
    };
    let mut other = raw(&schema).await;
    run(&mut other, &lock(first)).await;
    let exchange = tokio::spawn({
        let store = store.clone();
        let done: Vec<Claim> = held.iter().map(|lease| lease.claim).collect();
        async move { store.exchange(&done, None).await }
    });
    until_one_waits(&schema).await;
    let free = format!("{} NOWAIT; ROLLBACK", lock(last));
    run(&mut raw(&schema).await, &free).await;
    run(&mut other, "ROLLBACK").await;
    let answer = exchange.await.unwrap().unwrap();
    assert!(answer.completed.iter().all(Result::is_ok), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_loses_nothing() {
    let mut server = Postgres::start();
    let url = server.database();
    let store = PgStore::open(&url).await.unwrap();
    let job = enqueue(&store).await;
    let held = claim(&store, 1).await.remove(0);
    server.crash();
    let refused = store.queue_stats().await.unwrap_err();
    assert!(refused.retryable(), "{refused:?}");
    server.up();
    // Each connection that was cut is noticed once at most.
    for _ in 0..9 {
        match store.heartbeat(&[held.claim], TERM).await {
            Ok(beats) => {
                assert_eq!(beats, [Beat::Held { cancel: false }]);
                break;
            }
            Err(error) => assert!(error.retryable(), "{error:?}"),
        }
    }
    store.complete(&held.claim).await.unwrap();
    let done = store.job(&tenant("acme"), job.id).await.unwrap();
    assert_eq!(done.state, JobState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_rows_and_a_deployment_are_committed_together() {
    let schema = schema();
    let store = open(&schema).await;
    let app = project(&store, "acme", "app").await;
    let actor = Actor::new(tenant("acme"), "ada");
    let mut db = PgConnection::connect(url()).await.unwrap();
    let rows = format!("CREATE TABLE public.{schema}_rows (n int)");
    run(&mut db, &rows).await;
    let insert = format!("INSERT INTO {schema}_rows VALUES (1)");
    let there = format!("SELECT count(*) FROM {schema}_rows");

    let mut tx = db.begin().await.unwrap();
    run(&mut tx, &insert).await;
    let first = new_deployment(&app);
    store.deploy_in(&mut tx, &actor, &first).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(claim(&store, 1).await.is_empty());

    let mut tx = db.begin().await.unwrap();
    let made = store.deploy_in(&mut tx, &actor, &first).await.unwrap();
    let again = store.deploy_in(&mut tx, &actor, &first).await.unwrap_err();
    assert!(matches!(again, StoreError::Conflict { .. }), "{again:?}");
    // Its own tables are still what it sees.
    run(&mut tx, &insert).await;
    assert!(claim(&store, 1).await.is_empty(), "not committed yet");
    tx.commit().await.unwrap();

    let stored = store.deployment(&actor.tenant, first.id).await.unwrap();
    assert_eq!((stored.number, &stored), (1, &made));
    assert_eq!(claim(&store, 9).await[0].job.id, first.job.id);
    let count = db.fetch_one(sqlx::AssertSqlSafe(there)).await.unwrap();
    assert_eq!(count.get::<i64, _>(0), 1);
}
