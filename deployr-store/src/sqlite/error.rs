//! Which of SQLite's errors is which.

use rusqlite::ErrorCode;

use crate::error::{DbError, Trouble};

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(trouble(&error))
    }
}

pub(super) fn trouble(error: &rusqlite::Error) -> Trouble {
    let reason = error.to_string();
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        // All that is left are values and statements that do not fit.
        return Trouble::Corrupt(reason);
    };
    match failure.code {
        ErrorCode::DiskFull => Trouble::Full,
        ErrorCode::ConstraintViolation => Trouble::Constraint {
            reason,
            taken: None,
        },
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::TypeMismatch
        | ErrorCode::Unknown => Trouble::Corrupt(reason),
        ErrorCode::DatabaseBusy => Trouble::Unavailable(format!(
            "{reason}: another process has been writing for longer than is waited for; the disk \
             may be slow, try again"
        )),
        _ => Trouble::Unavailable(reason),
    }
}
