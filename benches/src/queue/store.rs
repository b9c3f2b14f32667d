//! Ours: the store's own calls, from as many workers as are wanted.

use std::path::Path;
use std::time::{Duration, Instant};

use deployr_core::model::{JobId, WorkerId};
use deployr_core::store::{ClaimRequest, JobQueue, NewJob, StoreError};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{JobKind, TenantId};
use deployr_store::SqliteStore;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::rate;
use crate::Error;

/// A store, and tasks that use it.
pub(super) struct Ours<'r> {
    runtime: &'r Runtime,
    store: SqliteStore,
    tenant: TenantId,
    kind: JobKind,
}

impl<'r> Ours<'r> {
    pub(super) fn open(runtime: &'r Runtime, path: &Path) -> Result<Self, Error> {
        Ok(Self {
            runtime,
            store: runtime.block_on(SqliteStore::open(path))?,
            tenant: TenantId::parse("bench")?,
            kind: JobKind::parse("noop")?,
        })
    }

    /// Enqueues jobs, then claims and completes them, with `workers` tasks each time;
    /// gives jobs a second.
    pub(super) fn round(&self, jobs: usize, batch: usize, workers: usize) -> Result<f64, Error> {
        self.runtime.block_on(async {
            let began = Instant::now();
            let mut tasks = JoinSet::new();
            for task in 0..workers {
                let batches = (task..jobs / batch).step_by(workers).count();
                let (store, kind) = (self.store.clone(), self.kind.clone());
                tasks.spawn(enqueue(store, self.tenant.clone(), kind, batches, batch));
            }
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            let mut tasks = JoinSet::new();
            for _ in 0..workers {
                tasks.spawn(work(self.store.clone(), self.kind.clone(), batch as u32));
            }
            let mut done = 0;
            while let Some(task) = tasks.join_next().await {
                done += task??;
            }
            if done != jobs {
                return Err(format!("{done} of {jobs} jobs were done").into());
            }
            Ok(rate(jobs, began))
        })
    }
}

pub(crate) fn new_job(kind: &JobKind) -> NewJob {
    NewJob {
        max_attempts: 3,
        start_within: Duration::from_secs(3_600),
        ..NewJob::new(
            JobId::new(SystemClock.now(), &SystemEntropy),
            kind.clone(),
            serde_json::json!({}),
        )
    }
}

async fn enqueue(
    store: SqliteStore,
    tenant: TenantId,
    kind: JobKind,
    batches: usize,
    batch: usize,
) -> Result<(), StoreError> {
    for _ in 0..batches {
        let new = (0..batch).map(|_| new_job(&kind)).collect();
        store.enqueue_all(&tenant, new).await?;
    }
    Ok(())
}

/// Claims and completes until there is no more; gives how many jobs that were.
async fn work(store: SqliteStore, kind: JobKind, batch: u32) -> Result<usize, StoreError> {
    let worker = WorkerId::new(SystemClock.now(), &SystemEntropy);
    let (mut held, mut done) = (Vec::new(), 0);
    loop {
        let next = ClaimRequest {
            worker,
            kinds: vec![kind.clone()],
            limit: batch,
            offers: Default::default(),
            term: Duration::from_secs(60),
        };
        let answer = store.exchange(&held, Some(next)).await?;
        for completed in answer.completed {
            completed?;
            done += 1;
        }
        if answer.leases.is_empty() {
            return Ok(done);
        }
        held = answer.leases.into_iter().map(|lease| lease.claim).collect();
    }
}
