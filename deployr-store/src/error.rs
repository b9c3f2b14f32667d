//! Errors inside a store, and what callers are told of them.

use deployr_core::model::{DeploymentStatus, JobId};
use deployr_core::state::IllegalTransition;
use deployr_core::store::StoreError;

/// What can go wrong inside a call. Becomes a [`StoreError`] at the call's edge,
/// where its name is known.
#[derive(Debug)]
pub(crate) enum DbError {
    Store(StoreError),
    Database(Trouble),
}

pub(crate) type DbResult<T> = Result<T, DbError>;

/// What a database complains of; unlike its own error, can be told to many callers. Each
/// database says which of its errors is which.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "SQLite has one writer, and names no index")
)]
pub(crate) enum Trouble {
    Full,
    Unavailable(String),
    /// The whole transaction was given up for the sake of others: made again, it may well
    /// succeed.
    GaveWay(String),
    Corrupt(String),
    Constraint {
        reason: String,
        /// The unique index that the row was refused by, where the database tells.
        taken: Option<String>,
    },
}

impl From<StoreError> for DbError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<IllegalTransition> for DbError {
    fn from(error: IllegalTransition) -> Self {
        Self::Store(error.into())
    }
}

impl DbError {
    /// What the caller of `operation` is told.
    pub(crate) fn into_store_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Database(trouble) => trouble.into_store_error(operation),
        }
    }

    /// Whether the fault is in the row at hand, so that other rows may do better.
    pub(crate) fn is_of_one_row(&self) -> bool {
        match self {
            Self::Store(error) => !error.retryable(),
            Self::Database(trouble) => {
                matches!(trouble, Trouble::Corrupt(_) | Trouble::Constraint { .. })
            }
        }
    }
}

#[cfg(feature = "postgres")]
impl DbError {
    /// Whether the whole transaction was given up for the sake of others.
    pub(crate) fn is_of_others(&self) -> bool {
        matches!(self, Self::Database(Trouble::GaveWay(_)))
    }

    /// The name of the unique index that a row was refused by.
    pub(crate) fn taken(&self) -> Option<&str> {
        match self {
            Self::Database(Trouble::Constraint { taken, .. }) => taken.as_deref(),
            _ => None,
        }
    }
}

impl Trouble {
    pub(crate) fn into_store_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Full => StoreError::Full { operation },
            Self::Unavailable(reason) | Self::GaveWay(reason) => {
                StoreError::Unavailable { operation, reason }
            }
            Self::Corrupt(reason) => StoreError::Corrupt {
                what: "the database",
                reason,
            },
            // Calls look for what is in their way and name it; this is the safety net.
            Self::Constraint { reason, .. } => StoreError::Conflict {
                what: operation,
                key: reason,
                rule: "stands in the way",
            },
        }
    }
}

/// No such row, or not this tenant's.
pub(crate) fn not_found(what: &'static str, key: &impl ToString) -> DbError {
    StoreError::NotFound {
        what,
        key: key.to_string(),
    }
    .into()
}

/// Something stands in the way.
pub(crate) fn conflict(what: &'static str, key: &impl ToString, rule: &'static str) -> DbError {
    StoreError::Conflict {
        what,
        key: key.to_string(),
        rule,
    }
    .into()
}

/// What is stored in a `what` cannot be understood.
pub(crate) fn corrupt(what: &'static str, reason: &impl ToString) -> DbError {
    StoreError::Corrupt {
        what,
        reason: reason.to_string(),
    }
    .into()
}

/// The claim is over.
pub(crate) fn lost(job: JobId) -> DbError {
    StoreError::LeaseLost { job }.into()
}

/// For what is no event of a deployment at all.
pub(crate) fn illegal(from: DeploymentStatus, event: &'static str) -> IllegalTransition {
    IllegalTransition {
        machine: "deployment",
        from: from.as_str(),
        event,
    }
}
