//! Errors inside the store, and what callers are told of them.

use deployr_core::state::IllegalTransition;
use deployr_core::store::StoreError;
use rusqlite::ErrorCode;

/// What can go wrong inside a call. Becomes a [`StoreError`] at the call's edge,
/// where its name is known.
#[derive(Debug)]
pub(super) enum DbError {
    Store(StoreError),
    Sqlite(rusqlite::Error),
}

pub(super) type DbResult<T> = Result<T, DbError>;

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

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl DbError {
    /// What the caller of `operation` is told.
    pub(super) fn into_store_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => Trouble::of(&error).into_store_error(operation),
        }
    }

    /// Whether the fault is in the row at hand, so that other rows may do better.
    pub(super) fn is_of_one_row(&self) -> bool {
        match self {
            Self::Store(error) => !error.retryable(),
            Self::Sqlite(error) => {
                matches!(
                    Trouble::of(error),
                    Trouble::Corrupt(_) | Trouble::Constraint(_)
                )
            }
        }
    }
}

/// What SQLite complains of; unlike its own error, can be told to many callers.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    Full,
    Unavailable(String),
    Corrupt(String),
    Constraint(String),
}

impl Trouble {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            // All that is left are values and statements that do not fit.
            return Self::Corrupt(error.to_string());
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::ConstraintViolation => Self::Constraint(error.to_string()),
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }

    pub(super) fn into_store_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Full => StoreError::Full { operation },
            Self::Unavailable(reason) => StoreError::Unavailable { operation, reason },
            Self::Corrupt(reason) => StoreError::Corrupt {
                what: "the database",
                reason,
            },
            // Calls look for what is in their way and name it; this is the safety net.
            Self::Constraint(key) => StoreError::Conflict {
                what: operation,
                key,
                rule: "stands in the way",
            },
        }
    }
}

/// No such row, or not this tenant's.
pub(super) fn not_found(what: &'static str, key: &impl ToString) -> DbError {
    StoreError::NotFound {
        what,
        key: key.to_string(),
    }
    .into()
}

/// Something stands in the way.
pub(super) fn conflict(what: &'static str, key: &impl ToString, rule: &'static str) -> DbError {
    StoreError::Conflict {
        what,
        key: key.to_string(),
        rule,
    }
    .into()
}

/// What is stored in a `what` cannot be understood.
pub(super) fn corrupt(what: &'static str, reason: &impl ToString) -> DbError {
    StoreError::Corrupt {
        what,
        reason: reason.to_string(),
    }
    .into()
}
