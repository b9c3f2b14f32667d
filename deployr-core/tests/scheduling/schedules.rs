//! Jobs that come again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::engine::Engine;
use deployr_core::job::{Done, JobContext, JobError, JobHandler};
use deployr_core::model::{Job, JobTemplate, Page};
use deployr_core::store::NewSchedule;
use deployr_core::system::{Clock, Timestamp};
use deployr_core::testing::{ManualClock, MemoryStore};
use deployr_core::value::{JobKind, ScheduleName, Timetable};

use crate::{a_while, ada};

#[derive(Default)]
struct Backup(AtomicUsize);

#[async_trait]
impl JobHandler for Backup {
    async fn run(&self, job: &Job, _: &JobContext) -> Result<Done, JobError> {
        assert_eq!(job.input["of"], "photos");
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Done::Completed)
    }
}

fn engine(store: &Arc<MemoryStore>, handler: &Arc<Backup>) -> Engine {
    let engine = crate::engine(store);
    engine
        .job_handler("backup", handler.clone())
        .build()
        .unwrap()
}

fn hourly() -> NewSchedule {
    let kind = JobKind::parse("backup").unwrap();
    NewSchedule {
        name: ScheduleName::parse("photos").unwrap(),
        timetable: Timetable::parse("0 * * * *").unwrap(),
        job: JobTemplate::new(kind, serde_json::json!({ "of": "photos" })),
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_time_comes_once_however_many_nodes_there_are() {
    let clock = Arc::new(ManualClock::new(at("2026-11-21T10:20:00Z")));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let handler = Arc::new(Backup::default());
    let nodes: Vec<_> = (0..3).map(|_| engine(&store, &handler)).collect();
    let tenant = ada().tenant;

    let schedule = nodes[0].schedule(&tenant, hourly()).await.unwrap();
    assert_eq!(schedule.next_at, Some(at("2026-11-21T11:00:00Z")));
    let workers: Vec<_> = nodes.iter().map(|node| node.worker().spawn()).collect();
    let runs = || handler.0.load(Ordering::Relaxed);
    a_while().await;
    assert_eq!(runs(), 0, "not yet");

    clock.advance(Duration::from_secs(40 * 60));
    a_while().await;
    assert_eq!(runs(), 1, "at eleven");

    // Said again at the start of another node.
    clock.advance(Duration::from_secs(60));
    let again = nodes[1].schedule(&tenant, hourly()).await.unwrap();
    assert_eq!(again.last_at, Some(at("2026-11-21T11:00:00Z")));
    assert_eq!(again.next_at, Some(at("2026-11-21T12:00:00Z")));

    // While nobody lived, as it were.
    clock.advance(Duration::from_secs(5 * 60 * 60));
    a_while().await;
    assert_eq!(runs(), 2, "what was missed comes once");
    let all = nodes[2].schedules(&tenant, Page::first(10)).await.unwrap();
    assert_eq!(all[0].last_at, Some(at("2026-11-21T12:00:00Z")));
    assert_eq!(all[0].next_at, Some(at("2026-11-21T17:00:00Z")));

    nodes[0].unschedule(&tenant, &all[0].name).await.unwrap();
    clock.advance(Duration::from_secs(5 * 60 * 60));
    a_while().await;
    assert_eq!(runs(), 2, "never again");
    for worker in workers {
        worker.drain(Duration::ZERO).await;
    }
    assert!(clock.now() > at("2026-11-21T21:00:00Z"));
}

/// As one is made by a node that dies before it has reckoned the first time.
#[tokio::test(start_paused = true)]
async fn a_time_that_was_never_reckoned_is_reckoned_by_a_scheduler() {
    use deployr_core::store::Schedules;

    let clock = Arc::new(ManualClock::new(at("2026-11-21T10:20:00Z")));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let handler = Arc::new(Backup::default());
    let tenant = ada().tenant;
    let made = store.put_schedule(&tenant, hourly()).await.unwrap();
    assert_eq!(made.next_at, None);

    let worker = engine(&store, &handler).worker().spawn();
    a_while().await;
    let schedule = store.schedule(&tenant, &made.name).await.unwrap();
    assert_eq!(schedule.next_at, Some(at("2026-11-21T11:00:00Z")));
    assert_eq!(
        handler.0.load(Ordering::Relaxed),
        0,
        "that is no time to come"
    );
    worker.drain(Duration::ZERO).await;
}
