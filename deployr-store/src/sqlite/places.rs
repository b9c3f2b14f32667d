//! The places of concurrency keys: who has them, and who waits for some.

use std::cmp::Reverse;

use deployr_core::model::{Job, JobId, JobState, Limit};
use deployr_core::state::JobEvent;
use rusqlite::Connection;
use uuid::Uuid;

use super::lines;
use super::query::{execute, many, one, scalar};
use super::rows;
use super::writer::Tx;
use crate::error::{DbResult, not_found};

/// Whether each of the keys has a place left.
pub(super) fn has_room(db: &Connection, limits: &[Limit]) -> DbResult<bool> {
    let sql = "SELECT count(*) FROM job_keys WHERE holds = 1 AND key = ?1";
    for limit in limits {
        let taken: i64 = one(db, sql, [limit.key.as_str()], scalar)?.unwrap_or_default();
        if taken >= i64::from(limit.max.get()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Notes that the job has a place of each of its keys, or waits for them.
pub(super) fn note(db: &Connection, job: &Job, holds: bool) -> DbResult<()> {
    for limit in &job.limits {
        execute(
            db,
            include_str!("sql/keep_key.sql"),
            (
                limit.key.as_str(),
                job.id.as_uuid(),
                limit.max.get(),
                holds,
                job.priority,
                job.created_at.timestamp_micros(),
            ),
        )?;
    }
    Ok(())
}

/// Queues a pending job that is due where it has room; tells whether it had. It waits
/// for room else.
pub(super) fn promote(tx: &Tx<'_>, id: JobId) -> DbResult<bool> {
    let sql = "SELECT * FROM job_rows WHERE id = ?1";
    let found = one(tx.db, sql, [id.as_uuid()], |row| {
        let (rank, lane) = (row.get(rows::RANK)?, row.get(rows::LANE)?);
        Ok((rows::job(row)?, rank, lane))
    })?;
    let (job, rank, lane): (Job, Option<i64>, i64) = found.ok_or_else(|| not_found("job", &id))?;
    if job.state != JobState::Pending {
        return Ok(false);
    }
    // One that has a rank has had its places all the time.
    if rank.is_none() && !has_room(tx.db, &job.limits)? {
        note(tx.db, &job, false)?;
        let sql = "UPDATE jobs SET due_at = NULL WHERE id = ?1";
        execute(tx.db, sql, [id.as_uuid()])?;
        return Ok(false);
    }
    let rank = lines::enter(tx.db, &job, lane, rank)?;
    let state = job.state.on(JobEvent::Promote)?;
    let sql = "UPDATE jobs SET state = ?2, rank = ?3, due_at = NULL WHERE id = ?1";
    execute(tx.db, sql, (id.as_uuid(), state.as_str(), rank))?;
    note(tx.db, &job, true)?;
    Ok(true)
}

/// Gives up what a job has, now that it is over, and queues those that waited for it.
pub(super) fn give_up(tx: &Tx<'_>, job: &Job) -> DbResult<()> {
    if job.limits.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM job_keys WHERE job = ?1";
    execute(tx.db, sql, [job.id.as_uuid()])?;
    let keys = job.limits.iter().map(|limit| limit.key.as_str());
    promote_waiting(tx, keys)
}

/// Queues those that wait for a place of these keys, as far as they have room now. The
/// highest priority comes first, then the oldest.
fn promote_waiting<'a>(tx: &Tx<'_>, keys: impl Iterator<Item = &'a str>) -> DbResult<()> {
    let mut waiting = Vec::new();
    for key in keys {
        let sql = include_str!("sql/waiting_jobs.sql");
        waiting.extend(many(tx.db, sql, [key], |row| {
            let (priority, created_at) = (row.get::<_, i16>(0)?, row.get::<_, i64>(1)?);
            Ok((Reverse(priority), created_at, row.get::<_, Uuid>(2)?))
        })?);
    }
    waiting.sort();
    waiting.dedup();
    for (_, _, id) in waiting {
        let id = JobId::from_uuid(id);
        match tx.savepoint(|tx| promote(tx, id)) {
            Ok(_) => {}
            // One that cannot be read must not keep the others waiting.
            Err(error) if !tx.is_over() && error.is_of_one_row() => {
                tracing::warn!(job = %id, ?error, "left a job that waits");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
