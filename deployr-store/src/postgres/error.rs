//! Errors inside the store, and what callers are told of them.

use deployr_core::state::IllegalTransition;
use deployr_core::store::StoreError;
use sqlx::Error;

/// What can go wrong inside a call. Becomes a [`StoreError`] at the call's edge,
/// where its name is known.
#[derive(Debug)]
pub(super) enum DbError {
    Store(StoreError),
    Postgres(Error),
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

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl DbError {
    /// What the caller of `operation` is told.
    pub(super) fn into_store_error(self, operation: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Postgres(error) => Trouble::of(&error).into_store_error(operation),
        }
    }

    /// Whether the fault is in the row at hand, so that other rows may do better.
    pub(super) fn is_of_one_row(&self) -> bool {
        match self {
            Self::Store(error) => !error.retryable(),
            Self::Postgres(error) => {
                matches!(
                    Trouble::of(error),
                    Trouble::Corrupt(_) | Trouble::Constraint(_)
                )
            }
        }
    }

    /// Whether the database has given the whole transaction up for the sake of others:
    /// made again, it may well succeed.
    pub(super) fn is_of_others(&self) -> bool {
        let Self::Postgres(error) = self else {
            return false;
        };
        // serialization_failure, deadlock_detected
        matches!(code(error).as_deref(), Some("40001" | "40P01"))
    }

    /// The name of the unique index that a row was refused by.
    pub(super) fn taken(&self) -> Option<&str> {
        let Self::Postgres(Error::Database(error)) = self else {
            return None;
        };
        error
            .is_unique_violation()
            .then(|| error.constraint())
            .flatten()
    }
}

fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// What Postgres complains of.
#[derive(Debug)]
enum Trouble {
    Full,
    Unavailable(String),
    Corrupt(String),
    Constraint(String),
}

impl Trouble {
    fn of(error: &Error) -> Self {
        let reason = error.to_string();
        let Some(code) = code(error) else {
            return match error {
                Error::ColumnDecode { .. }
                | Error::Decode(_)
                | Error::Encode(_)
                | Error::ColumnNotFound(_)
                | Error::ColumnIndexOutOfBounds { .. } => Self::Corrupt(reason),
                Error::PoolTimedOut => Self::Unavailable(
                    "no connection within the time: the server cannot be reached, or all \
                     connections are taken"
                        .to_owned(),
                ),
                // The connection, or the way to it.
                _ => Self::Unavailable(reason),
            };
        };
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        match code.as_bytes() {
            b"53100" => Self::Full,
            [b'2', b'3', ..] => Self::Constraint(reason),
            // Values and statements that do not fit, and damage.
            [b'2', b'2', ..] | [b'4', b'2', ..] | [b'X', b'X', ..] => Self::Corrupt(reason),
            // Shutting down, too many connections, a time-out, a deadlock, a standby, …
            _ => Self::Unavailable(format!("{reason} (SQLSTATE {code})")),
        }
    }

    fn into_store_error(self, operation: &'static str) -> StoreError {
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
