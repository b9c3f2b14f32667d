//! How long what is over is kept.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::StoreResult;

/// How long what is over is kept, counted from when it was over. Deployments and releases
/// are kept for ever: they are the history that people look through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The log of a deployment.
    pub logs: Duration,
    /// Of how many deployments of each project, the newest, the log is kept however old.
    pub newest_logs: u32,
    /// Jobs, save those of deployments.
    pub jobs: Duration,
    /// What is in the audit log.
    pub audit: Duration,
}

impl Default for Retention {
    /// Logs for 30 days, those of the newest 20 deployments of each project for ever; jobs
    /// for 90 days; the audit log for 400.
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Self {
            logs: days(30),
            newest_logs: 20,
            jobs: days(90),
            audit: days(400),
        }
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Log lines.
    pub lines: u64,
    /// Jobs.
    pub jobs: u64,
    /// Entries of the audit log.
    pub audit: u64,
}

impl Pruned {
    /// All rows together.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.lines + self.jobs + self.audit
    }
}

/// Removes what was kept for long enough.
///
/// ```
/// use deployr_core::store::{Housekeeping, Retention, StoreResult};
///
/// async fn tidy_up(store: &dyn Housekeeping) -> StoreResult<()> {
///     while store.prune(&Retention::default(), 1_000).await?.rows() > 0 {}
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Removes up to `limit` rows of each sort, the oldest first. Called until it removes
    /// nothing; other calls have their turn between two of these. Nothing that is not over
    /// is touched. Any number of nodes may do so at the same time.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn prune(&self, keep: &Retention, limit: u32) -> StoreResult<Pruned>;
}
