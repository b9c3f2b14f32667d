//! What is remembered from one sweep to the next.

use deployr_core::store::Watch;
use deployr_core::system::{Timestamp, timestamp_from_micros};
use rusqlite::{Connection, Row};

use super::query::{execute, one};
use crate::error::DbResult;

pub(super) fn stored(db: &Connection) -> DbResult<Watch> {
    let time = |row: &Row<'_>, column| -> DbResult<_> {
        let micros: Option<i64> = row.get(column)?;
        Ok(micros.map(timestamp_from_micros))
    };
    let count = |row: &Row<'_>, column| row.get(column).map(i64::unsigned_abs);
    let sql = "SELECT swept_at, held_since, counted_since, ended, ended_before FROM watch";
    let stored = one(db, sql, [], |row| {
        Ok(Watch {
            swept_at: time(row, 0)?,
            held_since: time(row, 1)?,
            counted_since: time(row, 2)?,
            ended: count(row, 3)?,
            ended_before: count(row, 4)?,
        })
    });
    Ok(stored?.unwrap_or_default())
}

pub(super) fn keep(db: &Connection, watch: &Watch) -> DbResult<()> {
    let time = |at: Option<Timestamp>| at.map(|at| at.timestamp_micros());
    let sql = "UPDATE watch SET swept_at = ?1, held_since = ?2, counted_since = ?3,
                   ended = ?4, ended_before = ?5";
    let params = (
        time(watch.swept_at),
        time(watch.held_since),
        time(watch.counted_since),
        watch.ended.cast_signed(),
        watch.ended_before.cast_signed(),
    );
    execute(db, sql, params).map(drop)
}
