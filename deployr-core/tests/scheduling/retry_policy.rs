//! A kind says how long its jobs wait after a fault.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::error::Fault;
use deployr_core::job::{Done, JobContext, JobError, JobHandler, RetryPolicy};
use deployr_core::model::{Job, JobId, JobState};
use deployr_core::store::{JobQueue, NewJob};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::{ManualClock, MemoryStore};
use deployr_core::value::JobKind;

struct Patient;

#[async_trait]
impl JobHandler for Patient {
    async fn run(&self, job: &Job, _: &JobContext) -> Result<Done, JobError> {
        Err(Fault::retryable("trying", job.id, "not today").into())
    }

    fn retry(&self) -> RetryPolicy {
        RetryPolicy {
            first: Duration::from_secs(4_000),
            longest: Duration::from_secs(5_000),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_fault_is_that_of_its_kind() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let engine = crate::engine(&store);
    let engine = engine
        .job_handler("patient", Arc::new(Patient))
        .build()
        .unwrap();
    let actor = crate::ada();
    let id = JobId::new(clock.now(), &SystemEntropy);
    let kind = JobKind::parse("patient").unwrap();
    let new = NewJob::new(id, kind, serde_json::json!({}));
    engine.enqueue(&actor, vec![new]).await.unwrap();

    let worker = engine.worker().spawn();
    for attempt in 1..=2_u32 {
        let job = loop {
            let job = store.job(&actor.tenant, id).await.unwrap();
            if job.attempt == attempt && job.state == JobState::Pending {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let wait = (job.run_at - clock.now()).num_seconds();
        let pause = if attempt == 1 { 4_000 } else { 5_000 };
        assert!((pause / 2 - 5..=pause * 3 / 2).contains(&wait), "{wait} s");
        clock.advance(Duration::from_secs(7_500));
    }
    worker.drain(Duration::ZERO).await;
}
