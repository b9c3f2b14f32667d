//! Why a store did not do as asked.

use crate::model::{DeploymentId, JobId};
use crate::state::IllegalTransition;

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such row, or not this tenant's.
    #[error("no {what} {key}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its key, as asked for.
        key: String,
    },
    /// The value is taken, or something else stands in the way.
    #[error("{what} {key} {rule}")]
    Conflict {
        /// The kind of thing.
        what: &'static str,
        /// Its key, as asked for.
        key: String,
        /// What stands in the way: `is taken`.
        rule: &'static str,
    },
    /// The caller no longer holds the job. It must stop at once, and change nothing.
    #[error("the lease of job {job} was lost to a later claim or a cancellation")]
    LeaseLost {
        /// The job.
        job: JobId,
    },
    /// The state machine knows no such change.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// Lines were left out: the log expects `expected` next.
    #[error("log of {deployment} expects line {expected} next")]
    LogGap {
        /// Whose log.
        deployment: DeploymentId,
        /// The number that must come next.
        expected: i64,
    },
    /// The store cannot do it now; nothing was changed. Try again.
    #[error("the store is not available for `{operation}`: {reason}")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// Why not.
        reason: String,
    },
    /// The store's disk is full; nothing was changed. Reads go on.
    #[error("the store's disk is full (during `{operation}`): free some space, nothing is lost")]
    Full {
        /// What was attempted.
        operation: &'static str,
    },
    /// What is stored cannot be understood: damage, or a newer version's rows.
    #[error("cannot read {what}: {reason}")]
    Corrupt {
        /// The kind of thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }
}

/// What a store's calls return.
pub type StoreResult<T> = Result<T, StoreError>;
