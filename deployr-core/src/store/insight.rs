//! What is in the queue, and why.

use std::num::NonZeroU32;

use async_trait::async_trait;
use serde::Serialize;

use super::StoreResult;
use crate::model::{Job, JobId};
use crate::system::Timestamp;
use crate::value::{ConcurrencyKey, JobKind, TenantId};

/// How full the queue is of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindStats {
    /// Which.
    pub kind: JobKind,
    /// Wait for their time, or for room.
    pub pending: u64,
    /// Could be claimed.
    pub queued: u64,
    /// In the hands of workers.
    pub running: u64,
    /// Those of all these whose last worker was lost.
    pub rescued: u64,
    /// Since when the one that has waited longest could have been claimed.
    pub oldest: Option<Timestamp>,
}

/// What a store knows of a job's turn.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The job.
    pub job: Job,
    /// The store's present time.
    pub now: Timestamp,
    /// Its keys that have no place left for it.
    pub full: Vec<FullKey>,
    /// Whether no jobs of its kind are given out.
    pub paused: bool,
    /// How many queued jobs of its kind and needs come before it; counted up to 1,000.
    pub before: u32,
}

/// A key that has no place left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FullKey {
    /// Which.
    pub key: ConcurrencyKey,
    /// How many places it has for this job.
    pub max: NonZeroU32,
    /// How many have one.
    pub taken: u32,
    /// Those of the same tenant that have one, the oldest first; at most ten.
    pub holders: Vec<JobId>,
}

/// Looks into the queue, for people. None of this is asked often.
///
/// ```
/// use deployr_core::store::{Insight, StoreResult};
///
/// async fn lost(store: &dyn Insight) -> StoreResult<u64> {
///     Ok(store.queue_by_kind().await?.iter().map(|kind| kind.rescued).sum())
/// }
/// ```
#[async_trait]
pub trait Insight: Send + Sync {
    /// How full the queue is, by kind; of kinds that have jobs which are not over.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn queue_by_kind(&self) -> StoreResult<Vec<KindStats>>;

    /// Where a job stands. Of one that is over, or that runs, nothing is full and nothing
    /// comes before it.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn standing(&self, tenant: &TenantId, id: JobId) -> StoreResult<Standing>;
}

/// How many that come before a job are counted.
pub const COUNTED: u32 = 1_000;
