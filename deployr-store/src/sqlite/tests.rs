//! What can only be seen from inside: a full disk, a panic, a batch that fails whole.

use deployr_core::model::JobId;
use deployr_core::store::{JobQueue, NewJob, StoreError, StoreResult};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{JobKind, TenantId};
use std::time::Duration;

use super::SqliteStore;
use super::query::many;

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn new_job(bytes: usize) -> NewJob {
    let id = JobId::new(SystemClock.now(), &SystemEntropy);
    let kind = JobKind::parse("work").unwrap();
    NewJob {
        max_attempts: 1,
        ..NewJob::new(id, kind, "x".repeat(bytes).into())
    }
}

/// Sets how many pages the file may have; gives how many it has.
async fn limit_pages(store: &SqliteStore, limit: Option<i64>) -> StoreResult<i64> {
    store
        .write("limit", move |tx| {
            let pages: i64 = tx
                .db
                .pragma_query_value(None, "page_count", |row| row.get(0))?;
            let limit = limit.unwrap_or(pages);
            tx.db
                .pragma_update_and_check(None, "max_page_count", limit, |_| Ok(()))?;
            Ok(pages)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("deployr.db"))
        .await
        .unwrap();
    let before = store.enqueue(&tenant(), new_job(10)).await.unwrap();

    limit_pages(&store, None).await.unwrap();
    let refused = store
        .enqueue(&tenant(), new_job(100_000))
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::Full {
                operation: "enqueue"
            }
        ),
        "{refused:?}"
    );
    assert_eq!(
        store.job(&tenant(), before.id).await.unwrap(),
        before,
        "reads go on"
    );
    assert_eq!(store.queue_stats().await.unwrap().queued, 1);

    limit_pages(&store, Some(1_000_000)).await.unwrap();
    store.enqueue(&tenant(), new_job(100_000)).await.unwrap();
    assert_eq!(store.queue_stats().await.unwrap().queued, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_is_dropped_nothing_is_left_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployr.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store
        .enqueue(&tenant(), new_job(1))
        .await
        .expect("a job is stored");
    assert_eq!(store.queue_stats().await.unwrap().queued, 1);
    drop(store);
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["deployr.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_stops_only_its_own_call() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("deployr.db"))
        .await
        .unwrap();
    let new = new_job(1);
    let panicked: StoreResult<()> = store
        .write("panic", move |tx| {
            super::jobs::insert(tx, &tenant(), new)?;
            panic!("as planned");
        })
        .await;
    assert!(
        matches!(panicked, Err(StoreError::Corrupt { .. })),
        "{panicked:?}"
    );
    assert_eq!(
        store.queue_stats().await.unwrap().queued,
        0,
        "nothing of it is left"
    );

    let panicked: StoreResult<()> = store.read("panic", |_| panic!("as planned")).await;
    assert!(panicked.is_err());
    store.enqueue(&tenant(), new_job(1)).await.unwrap();
    assert_eq!(store.queue_stats().await.unwrap().queued, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_error_rolls_back_only_its_own_call() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("deployr.db"))
        .await
        .unwrap();
    // Holds the thread up, so that the calls behind it share a commit.
    let plug = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .write("plug", |_| {
                    std::thread::sleep(Duration::from_millis(100));
                    Ok(())
                })
                .await
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let twice = new_job(1);
    let calls = [twice.clone(), twice, new_job(1)].map(|new| {
        let store = store.clone();
        tokio::spawn(async move { store.enqueue(&tenant(), new).await })
    });
    let mut refused = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => {}
            Err(StoreError::Conflict { what: "job", .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    plug.await.unwrap().unwrap();
    assert_eq!(refused, 1);
    assert_eq!(store.queue_stats().await.unwrap().queued, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_rolled_back_whole_fails_all_its_calls() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("deployr.db"))
        .await
        .unwrap();
    let new = new_job(1);
    let failed: StoreResult<()> = store
        .write("rollback", move |tx| {
            super::jobs::insert(tx, &tenant(), new)?;
            tx.db.execute_batch("ROLLBACK")?;
            Ok(())
        })
        .await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "{failed:?}"
    );
    store.enqueue(&tenant(), new_job(1)).await.unwrap();
    assert_eq!(store.queue_stats().await.unwrap().queued, 1);
}

/// The table keeps all jobs that ever were; a statement that is repeated every second
/// must walk through those that wait, and no others.
#[tokio::test]
async fn a_sweep_looks_at_no_finished_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("deployr.db"))
        .await
        .unwrap();
    let plan: Vec<String> = store
        .read("plan", |db| {
            let sql = concat!("EXPLAIN QUERY PLAN ", include_str!("sql/late_jobs.sql"));
            many(db, sql, [0], |row| Ok(row.get("detail")?))
        })
        .await
        .unwrap();
    let mut tables = plan.iter().filter(|step| step.contains(" jobs "));
    for index in ["jobs_line", "jobs_pending"] {
        let step = tables.next().unwrap();
        assert!(step.contains(index), "{plan:?}");
    }
    assert_eq!(tables.next(), None, "{plan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_older_version_keeps_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployr.db");
    let waiting = new_job(1).id;
    super::open::tests::older_file(&path, 2, waiting.as_uuid());
    let store = SqliteStore::open(&path).await.unwrap();
    let behind = store.enqueue(&tenant(), new_job(1)).await.unwrap();
    let ranks = store
        .read("ranks", |db| {
            many(db, "SELECT rank FROM jobs ORDER BY rank", [], |row| {
                Ok(row.get::<_, i64>(0)?)
            })
        })
        .await
        .unwrap();
    assert_eq!(ranks, [7, 8], "{waiting} stands before {}", behind.id);
}

#[tokio::test]
async fn a_job_that_had_begun_before_has_its_time_to_start_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployr.db");
    let begun = new_job(1).id;
    super::open::tests::older_file(&path, 4, begun.as_uuid());
    // Within a minute; it came back an hour later.
    let sql = "UPDATE jobs SET fence = 1, created_at = 7, start_by = 60000007, run_at = 3600000000";
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute(sql, []).unwrap();
    drop(db);
    let store = SqliteStore::open(&path).await.unwrap();
    let job = store.job(&tenant(), begun).await.unwrap();
    assert_eq!(job.start_by, job.run_at + Duration::from_secs(60));
}
