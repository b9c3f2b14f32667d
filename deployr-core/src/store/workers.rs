//! Who carries jobs out.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreResult;
use crate::model::{Labels, WorkerId};
use crate::system::Timestamp;
use crate::value::JobKind;

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its key, as leases name it.
    pub id: WorkerId,
    /// The machine that it runs on, by a name for people.
    pub node: String,
    /// The version of the engine.
    pub version: String,
    /// The kinds that it can carry out.
    pub kinds: BTreeSet<JobKind>,
    /// What it has to offer to jobs that need something.
    pub offers: Labels,
    /// How many jobs at a time.
    pub concurrency: u32,
    /// How many it has in hand.
    pub held: u32,
    /// Its leases' length. It reports four times as often.
    pub lease: Duration,
}

/// A worker as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerSeen {
    /// What it said of itself.
    #[serde(flatten)]
    pub report: WorkerReport,
    /// When it first said so.
    pub since: Timestamp,
    /// When it said so last.
    pub seen_at: Timestamp,
    /// How long it has said nothing, by the store's clock.
    pub silent: Duration,
}

impl WorkerSeen {
    /// For those who write a store.
    #[must_use]
    pub fn new(report: WorkerReport, since: Timestamp, seen_at: Timestamp, now: Timestamp) -> Self {
        Self {
            report,
            since,
            seen_at,
            silent: (now - seen_at).to_std().unwrap_or_default(),
        }
    }

    /// Whether it can be counted on: it has not been silent for longer than its leases.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.silent <= self.report.lease
    }
}

/// The register of workers: for people, and for answering why a job waits. No lease hangs
/// on it.
///
/// ```
/// use deployr_core::store::{StoreResult, Workers};
///
/// async fn places(store: &dyn Workers) -> StoreResult<u32> {
///     Ok(store.workers().await?.iter().map(|worker| worker.report.concurrency).sum())
/// }
/// ```
#[async_trait]
pub trait Workers: Send + Sync {
    /// Notes that a worker lives; whoever has been silent for [`FORGOTTEN`] is forgotten.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn report_worker(&self, report: WorkerReport) -> StoreResult<()>;

    /// Forgets a worker, which has ended. One that is not known is no error.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn remove_worker(&self, id: WorkerId) -> StoreResult<()>;

    /// All that are known, the oldest first.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn workers(&self) -> StoreResult<Vec<WorkerSeen>>;
}

/// Who has said nothing for so long is not told of any more.
pub const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);
