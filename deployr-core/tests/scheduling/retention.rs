//! What is over goes in time.

use std::sync::Arc;
use std::time::Duration;

use deployr_core::model::{JobId, WorkerId};
use deployr_core::store::{ClaimRequest, JobQueue, NewJob, Retention};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{ManualClock, MemoryStore};
use deployr_core::value::JobKind;
use deployr_core::worker::Worker;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Many more jobs than go in one batch, all over for a hundred days.
async fn old_jobs(store: &MemoryStore, clock: &ManualClock) -> JobId {
    let kind = JobKind::parse("unknown-here").unwrap();
    let new = || {
        let id = JobId::new(clock.now(), &SystemEntropy);
        NewJob::new(id, kind.clone(), serde_json::json!({}))
    };
    let (tenant, new) = (crate::ada().tenant, (0..2_500).map(|_| new()));
    let jobs = store.enqueue_all(&tenant, new.collect()).await.unwrap();
    let last = jobs.last().unwrap().id;
    let request = ClaimRequest {
        worker: WorkerId::new(clock.now(), &SystemEntropy),
        kinds: vec![kind],
        offers: Default::default(),
        limit: 10_000,
        term: DAY,
    };
    let claims = store.claim(request).await.unwrap();
    let claims: Vec<_> = claims.into_iter().map(|lease| lease.claim).collect();
    store.exchange(&claims, None).await.unwrap();
    clock.advance(100 * DAY);
    last
}

/// A worker that does little else.
fn idle(store: &Arc<MemoryStore>, keep: Option<Retention>) -> Worker {
    let engine = crate::engine(store).build().unwrap();
    let rarely = Duration::from_secs(300);
    let worker = engine.worker().retention(keep).lease(2 * rarely);
    worker.sweep(rarely).poll(rarely).spawn()
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_removes_what_was_kept_for_long_enough() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let last = old_jobs(&store, &clock).await;
    let worker = idle(&store, Some(Retention::default()));
    tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
    let job = store.job(&crate::ada().tenant, last).await;
    assert!(job.is_err(), "all batches have gone");
    worker.drain(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_where_all_is_kept() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let last = old_jobs(&store, &clock).await;
    let longer = Retention {
        jobs: 101 * DAY,
        ..Retention::default()
    };
    for keep in [None, Some(longer)] {
        let worker = idle(&store, keep);
        tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
        assert!(store.job(&crate::ada().tenant, last).await.is_ok());
        worker.drain(Duration::ZERO).await;
    }
}
