//! What every store must do, asked of the SQLite store, and what only a file can do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "support/file.rs"]
mod place;
mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deployr_core::model::{Actor, Claim, JobId, JobState, Page, WorkerId};
use deployr_core::store::{
    Audit, Deployments, Housekeeping, JobQueue, Projects, Retention, StoreError,
};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{ManualClock, store::agrees_with_memory, store::conformance};
use deployr_store::SqliteStore;
use rusqlite::TransactionBehavior;

use place::{file, fresh, open, raw};
use support::{TERM, claim, enqueue, new_deployment, new_job, project, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_rule_of_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    conformance(fresh(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_random_calls_as_the_memory_store_does() {
    let folder = tempfile::tempdir().unwrap();
    let walk = |seed| agrees_with_memory(fresh(&folder), seed, 100);
    tokio::join!(walk(1), walk(2), walk(3), walk(4), walk(5), walk(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_job_is_given_to_two_openers_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let (a, b) = tokio::join!(SqliteStore::open(&path), SqliteStore::open(&path));
    let (a, b) = (a.unwrap(), b.unwrap());
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder
        .path()
        .join("a folder")
        .join("deep?er#")
        .join("deployr.db");
    let openers = (0..12).map(|_| {
        let path = path.clone();
        tokio::spawn(async move { SqliteStore::migrate(path).await })
    });
    for opener in openers.collect::<Vec<_>>() {
        opener.await.unwrap().unwrap();
    }
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.queue_stats().await.unwrap().queued, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_all_after_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open(&file(&folder), &clock).await;
    let app = project(&store, "acme", "app").await;
    let job = enqueue(&store).await;
    let held = claim(&store, 1).await.remove(0);
    drop(store);

    let store = open(&file(&folder), &clock).await;
    assert_eq!(store.project(&tenant("acme"), app.id).await.unwrap(), app);
    assert_eq!(store.job(&tenant("acme"), job.id).await.unwrap(), held.job);
    store.complete(&held.claim).await.unwrap();
    drop(store);

    let store = open(&file(&folder), &clock).await;
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

/// With a name in which SQLite could see a question or a fragment.
#[tokio::test(flavor = "multi_thread")]
async fn reads_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("100% of ?what #is");
    let path = folder.join("deployr.db");
    let names = || {
        let entries = std::fs::read_dir(&folder).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let store = SqliteStore::open(&path).await.unwrap();
    let app = project(&store, "acme", "app").await;
    let shared = SqliteStore::open_read_only(&path).await.unwrap();
    let read = async |store: &SqliteStore| store.project(&tenant("acme"), app.id).await.unwrap();
    assert_eq!(read(&shared).await, app, "beside a writer");
    drop((store, shared));

    // Whoever closes the file last takes away what lies beside it.
    let deadline = Instant::now() + Duration::from_secs(20);
    while names().len() > 1 {
        assert!(Instant::now() < deadline, "{:?}", names());
        let db = raw(&path);
        let _ = db.pragma_query(None, "wal_checkpoint", |_| Ok(()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let alone = SqliteStore::open_read_only(&path).await.unwrap();
    assert_eq!(read(&alone).await, app);
    let actor = Actor::new(tenant("acme"), "ada");
    let refused = alone
        .update_project(&actor, app.id, app.settings.clone())
        .await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
    assert_eq!(names(), ["deployr.db"], "nothing was made");

    raw(&path).pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open_read_only(&path).await.unwrap_err();
    assert!(error.to_string().contains("version 99"), "{error}");
    let missing = SqliteStore::open_read_only(folder.join("none.db")).await;
    assert!(matches!(missing, Err(StoreError::Unavailable { .. })));
    assert_eq!(names(), ["deployr.db"]);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    enqueue(&store).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn poisoned_rows_stop_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open(&file(&folder), &clock).await;
    let poisoned = [enqueue(&store).await.id, enqueue(&store).await.id];
    let good = enqueue(&store).await.id;
    let db = raw(&file(&folder));
    let poison = |id: JobId, input: &str| {
        let sql = "UPDATE jobs SET input = ?2 WHERE id = ?1";
        assert_eq!(db.execute(sql, (id.as_uuid(), input)).unwrap(), 1);
    };

    poison(poisoned[0], "{");
    poison(poisoned[1], "");
    let leases = claim(&store, 1).await;
    assert_eq!(leases[0].job.id, good);
    assert!(matches!(
        store.job(&tenant("acme"), poisoned[0]).await,
        Err(StoreError::Corrupt { .. })
    ));

    poison(poisoned[0], "{}");
    assert_eq!(claim(&store, 9).await[0].job.id, poisoned[0]);
    poison(poisoned[0], "{");
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
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open(&file(&folder), &clock).await;
    project(&store, "acme", "app").await;
    enqueue(&store).await;
    let lease = claim(&store, 1).await.remove(0);
    store.complete(&lease.claim).await.unwrap();
    clock.advance(Duration::from_secs(500 * 86_400));
    let sql = "CREATE TRIGGER stay BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'stays'); END";
    raw(&file(&folder)).execute_batch(sql).unwrap();
    store.prune(&Retention::default(), 10).await.unwrap_err();
    let left = store.audit(&tenant("acme"), Page::first(9)).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn refuses_the_file_of_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    SqliteStore::migrate(file(&folder)).await.unwrap();
    raw(&file(&folder))
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = SqliteStore::open(file(&folder)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("version 99"), "{error}");
    assert!(error.to_string().contains("deployr.db"), "{error}");
}

#[tokio::test]
async fn refuses_what_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Dear diary, ".repeat(1_000);
    std::fs::write(file(&folder), &text).unwrap();
    let error = SqliteStore::open(file(&folder)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(
        std::fs::read_to_string(file(&folder)).unwrap(),
        text,
        "it is left as it was"
    );
}

#[tokio::test]
async fn another_tenants_rows_do_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
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
async fn waits_for_the_lock_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    let db = raw(&file(&folder));
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { enqueue(&store).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    assert_eq!(
        store.queue_stats().await.unwrap().queued,
        0,
        "reads wait for no writer"
    );
    db.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    for _ in 0..50 {
        let acme = tenant("acme");
        let call = store.enqueue(&acme, new_job());
        let _ = tokio::time::timeout(Duration::from_micros(1), call).await;
    }
    enqueue(&store).await;
    assert!(store.queue_stats().await.unwrap().queued >= 1);
}

#[tokio::test]
async fn an_apps_rows_and_a_deployment_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&folder)).await.unwrap();
    let app = project(&store, "acme", "app").await;
    let actor = Actor::new(tenant("acme"), "ada");
    let mut db = raw(&file(&folder));
    db.execute_batch("CREATE TABLE app_rows (n)").unwrap();
    let insert = "INSERT INTO app_rows VALUES (1)";

    let tx = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    tx.execute(insert, []).unwrap();
    let first = new_deployment(&app);
    store.deploy_in(&tx, &actor, &first).unwrap();
    tx.rollback().unwrap();
    assert!(claim(&store, 1).await.is_empty());

    let tx = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let made = store.deploy_in(&tx, &actor, &first).unwrap();
    let again = store.deploy_in(&tx, &actor, &first).unwrap_err();
    assert!(matches!(again, StoreError::Conflict { .. }), "{again:?}");
    tx.execute(insert, []).unwrap();
    tx.commit().unwrap();

    let stored = store.deployment(&actor.tenant, first.id).await.unwrap();
    assert_eq!((stored.number, &stored), (1, &made));
    assert_eq!(claim(&store, 9).await[0].job.id, first.job.id);
    let there = db.query_row("SELECT count(*) FROM app_rows", [], |row| row.get(0));
    assert_eq!(there, Ok(1));
}
