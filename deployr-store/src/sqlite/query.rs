//! The few shapes that statements have.

use crate::error::{DbResult, corrupt};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};
use uuid::Uuid;

/// The first row, if there is one.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    map: impl FnOnce(&Row<'_>) -> DbResult<T>,
) -> DbResult<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(map).transpose()
}

/// All rows.
pub(super) fn many<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut map: impl FnMut(&Row<'_>) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(map(row)?);
    }
    Ok(found)
}

/// Whether there is such a row.
pub(super) fn exists(db: &Connection, sql: &str, params: impl Params) -> DbResult<bool> {
    Ok(db.prepare_cached(sql)?.exists(params)?)
}

/// Carries out a statement that gives no rows; tells how many it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> DbResult<usize> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// The only column of a row.
pub(super) fn scalar<T: FromSql>(row: &Row<'_>) -> DbResult<T> {
    Ok(row.get(0)?)
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
