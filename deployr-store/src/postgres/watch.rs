//! What is remembered from one sweep to the next.

use deployr_core::store::Watch;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::query::{execute, one};
use super::time::Time;
use crate::error::DbResult;

/// As it is stored, locked; none where another sweep has it.
pub(super) async fn take(db: &mut PgConnection) -> DbResult<Option<Watch>> {
    let sql = "SELECT swept_at, held_since, counted_since, ended, ended_before
               FROM watch FOR UPDATE SKIP LOCKED";
    one(db, sqlx::query(sql), |row| {
        let time = |column: usize| -> DbResult<_> {
            let time: Option<Time> = row.try_get(column)?;
            Ok(time.map(|time| time.0))
        };
        let count = |column: usize| row.try_get(column).map(i64::unsigned_abs);
        Ok(Watch {
            swept_at: time(0)?,
            held_since: time(1)?,
            counted_since: time(2)?,
            ended: count(3)?,
            ended_before: count(4)?,
        })
    })
    .await
}

pub(super) async fn keep(db: &mut PgConnection, watch: &Watch) -> DbResult<()> {
    let sql = "UPDATE watch SET swept_at = $1, held_since = $2, counted_since = $3,
                   ended = $4, ended_before = $5";
    let update = sqlx::query(sql)
        .bind(watch.swept_at.map(Time))
        .bind(watch.held_since.map(Time))
        .bind(watch.counted_since.map(Time))
        .bind(watch.ended.cast_signed())
        .bind(watch.ended_before.cast_signed());
    execute(db, update).await.map(drop)
}
