//! The few shapes that statements have.

use std::borrow::Cow;

use crate::error::{DbResult, corrupt};
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Decode, Row, Type};
use uuid::Uuid;

pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The first row, if there is one.
pub(super) async fn one<T>(
    db: &mut PgConnection,
    statement: Statement<'_>,
    map: impl FnOnce(&PgRow) -> DbResult<T>,
) -> DbResult<Option<T>> {
    statement
        .fetch_optional(db)
        .await?
        .as_ref()
        .map(map)
        .transpose()
}

/// All rows.
pub(super) async fn many<T>(
    db: &mut PgConnection,
    statement: Statement<'_>,
    map: impl FnMut(&PgRow) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    statement.fetch_all(db).await?.iter().map(map).collect()
}

/// Whether there is such a row.
pub(super) async fn exists(db: &mut PgConnection, statement: Statement<'_>) -> DbResult<bool> {
    Ok(statement.fetch_optional(db).await?.is_some())
}

/// Carries out a statement that gives no rows; tells how many it changed.
pub(super) async fn execute(db: &mut PgConnection, statement: Statement<'_>) -> DbResult<u64> {
    Ok(statement.execute(db).await?.rows_affected())
}

/// The only column of a row.
pub(super) fn scalar<T>(row: &PgRow) -> DbResult<T>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get(0)?)
}

/// The key that a page of the newest first comes before: for the first page, one that
/// sorts after all others.
pub(super) fn before(after: Option<Uuid>) -> Uuid {
    after.unwrap_or(Uuid::max())
}

/// A value as the JSON that is stored.
pub(super) fn to_json(value: &impl serde::Serialize) -> DbResult<String> {
    serde_json::to_string(value).map_err(|error| corrupt("a value to be stored", &error))
}

/// A text as Postgres can hold it: it knows no NUL.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
