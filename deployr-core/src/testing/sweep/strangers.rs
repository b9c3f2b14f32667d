//! Jobs that nobody here can carry out, and that must stop nobody else.

use std::time::Duration;

use super::disk::Disk;
use crate::model::{JobId, JobState};
use crate::store::{NewJob, Store};
use crate::system::{Clock, SystemClock, SystemEntropy};
use crate::value::{JobKind, TenantId};

/// Stay in the queue from the beginning of a run to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strangers {
    of_a_newer_version: JobId,
}

impl Strangers {
    pub(super) const COUNT: u64 = 2;

    /// Two jobs of a kind that nobody knows; the disk may poison one of them.
    pub(super) async fn enqueue(store: &dyn Store, tenant: &TenantId, disk: &dyn Disk) -> Self {
        let new = || NewJob {
            max_attempts: 1,
            start_within: Duration::from_secs(365 * 24 * 60 * 60),
            ..NewJob::new(
                JobId::new(SystemClock.now(), &SystemEntropy),
                JobKind::parse("newer").unwrap(),
                serde_json::json!({}),
            )
        };
        let of_a_newer_version = store.enqueue(tenant, new()).await.unwrap().id;
        let poisoned = store.enqueue(tenant, new()).await.unwrap().id;
        disk.poison(poisoned).await;
        Self { of_a_newer_version }
    }

    /// RELIABILITY 14: a job of a kind that this version does not know is not touched. (13,
    /// that a poisoned row stops nothing else, shows in that all the rest is in order.)
    pub(super) async fn are_left_alone(&self, store: &dyn Store, tenant: &TenantId) {
        let job = store.job(tenant, self.of_a_newer_version).await.unwrap();
        assert_eq!((job.state, job.attempt), (JobState::Queued, 0), "[14]");
    }
}
