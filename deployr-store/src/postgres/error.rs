//! Which of Postgres's errors is which.

use sqlx::Error;

use crate::error::{DbError, Trouble};

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        Self::Database(trouble(&error))
    }
}

fn trouble(error: &Error) -> Trouble {
    let reason = error.to_string();
    let Error::Database(failure) = error else {
        return match error {
            Error::ColumnDecode { .. }
            | Error::Decode(_)
            | Error::Encode(_)
            | Error::ColumnNotFound(_)
            | Error::ColumnIndexOutOfBounds { .. } => Trouble::Corrupt(reason),
            Error::PoolTimedOut => Trouble::Unavailable(
                "no connection within the time: the server cannot be reached, or all \
                 connections are taken"
                    .to_owned(),
            ),
            // The connection, or the way to it.
            _ => Trouble::Unavailable(reason),
        };
    };
    let code = failure.code().unwrap_or_default();
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match code.as_bytes() {
        b"53100" => Trouble::Full,
        // serialization_failure, deadlock_detected
        b"40001" | b"40P01" => Trouble::GaveWay(format!("{reason} (SQLSTATE {code})")),
        // The same call, made twice at the same time: made again, it sees the other's lines.
        b"23505" if failure.constraint() == Some("log_lines_pkey") => {
            Trouble::GaveWay(format!("{reason} (SQLSTATE {code})"))
        }
        [b'2', b'3', ..] => Trouble::Constraint {
            reason,
            taken: match failure.is_unique_violation() {
                true => failure.constraint().map(str::to_owned),
                false => None,
            },
        },
        // Values and statements that do not fit, and damage.
        [b'2', b'2', ..] | [b'4', b'2', ..] | [b'X', b'X', ..] => Trouble::Corrupt(reason),
        // Shutting down, too many connections, a time-out, a standby, …
        _ => Trouble::Unavailable(format!("{reason} (SQLSTATE {code})")),
    }
}
