//! Putting right what time has changed. Each row is handled in a savepoint of its own,
//! so that one that cannot be handled stops none of the others.

use std::time::Duration;

use deployr_core::model::JobId;
use deployr_core::store::{Sweep, Watch};
use deployr_core::system::{self, Timestamp, timestamp_from_micros};
use rusqlite::Row;
use uuid::Uuid;

use super::jobs;
use super::moves;
use super::places;
use super::query::{execute, many, one, scalar};
use super::writer::Tx;
use crate::error::DbResult;
use crate::words::{LEASE_EXPIRED, queue_timeout};

pub(super) fn sweep(
    tx: &Tx<'_>,
    term: Option<Duration>,
    retry_after: Duration,
    limit: u32,
) -> DbResult<Sweep> {
    let mut sweep = Sweep::default();

    let sql = "SELECT id FROM jobs WHERE state = 'running' AND lease_until < ?1
               ORDER BY lease_until";
    let before = term.map_or(i64::MAX, |term| {
        system::earlier(tx.now, Watch::grace(term)).timestamp_micros()
    });
    let mut expired: Vec<Uuid> = many(tx.db, sql, [before], scalar)?;
    if let Some(term) = term
        && !may_end(tx, term, expired.len())?
    {
        sweep.held_back = u32::try_from(expired.len()).unwrap_or(u32::MAX);
        expired.clear();
    }
    sweep.rescued = each(tx, expired, limit, &mut sweep.poisoned, |tx, id| {
        let mut job = jobs::find(tx.db, JobId::from_uuid(*id))?;
        let state = moves::after_fault(tx, &mut job, LEASE_EXPIRED, Some(retry_after), None)?;
        Ok(Some((job.id, state)))
    })?;

    let late: Vec<Uuid> = many(tx.db, include_str!("sql/late_jobs.sql"), [tx.now()], scalar)?;
    sweep.timed_out = each(tx, late, limit, &mut sweep.poisoned, |tx, id| {
        let mut job = jobs::find(tx.db, JobId::from_uuid(*id))?;
        let why = queue_timeout(&job);
        moves::after_fault(tx, &mut job, why, None, None)?;
        Ok(Some(job.id))
    })?;

    let due: Vec<Uuid> = many(tx.db, include_str!("sql/due_jobs.sql"), [tx.now()], scalar)?;
    sweep.promoted = promote(tx, due, limit, &mut sweep.poisoned)?;

    // Whatever frees a place promotes the next at once, as a rule: some wait though there is
    // room where they stand far behind, a row could not be handled, or was changed by hand.
    let sql = include_str!("sql/jobs_with_room.sql");
    let waiting: Vec<Uuid> = many(tx.db, sql, [], scalar)?;
    sweep.promoted += promote(tx, waiting, limit, &mut sweep.poisoned)?;
    Ok(sweep)
}

/// Whether leases that ran out may be ended: so many did.
fn may_end(tx: &Tx<'_>, term: Duration, expired: usize) -> DbResult<bool> {
    let sql = "SELECT count(*) FROM jobs WHERE state = 'running'";
    let running: i64 = one(tx.db, sql, [], scalar)?.unwrap_or_default();
    if running == 0 {
        return Ok(true);
    }
    let time = |row: &Row<'_>, column| -> DbResult<_> {
        let micros: Option<i64> = row.get(column)?;
        Ok(micros.map(timestamp_from_micros))
    };
    let sql = "SELECT swept_at, held_since FROM watch";
    let stored = one(tx.db, sql, [], |row| {
        Ok(Watch {
            swept_at: time(row, 0)?,
            held_since: time(row, 1)?,
        })
    })?;
    let stored = stored.unwrap_or_default();
    let mut watch = stored;
    let may_end = watch.may_end(tx.now, term, running.unsigned_abs(), expired as u64);
    if watch != stored {
        let time = |at: Option<Timestamp>| at.map(|at| at.timestamp_micros());
        let sql = "UPDATE watch SET swept_at = ?1, held_since = ?2";
        execute(tx.db, sql, (time(watch.swept_at), time(watch.held_since)))?;
    }
    Ok(may_end)
}

fn promote(tx: &Tx<'_>, jobs: Vec<Uuid>, limit: u32, poisoned: &mut u32) -> DbResult<u32> {
    let promoted = each(tx, jobs, limit, poisoned, |tx, id| {
        Ok(places::promote(tx, JobId::from_uuid(*id))?.then_some(()))
    })?;
    Ok(u32::try_from(promoted.len()).unwrap_or(u32::MAX))
}

/// Handles one after the other, until `limit` of them are done. Poisoned ones do not
/// count towards the limit: a heap of them must not hide those behind it.
fn each<K, T>(
    tx: &Tx<'_>,
    keys: Vec<K>,
    limit: u32,
    poisoned: &mut u32,
    handle: impl Fn(&Tx<'_>, &K) -> DbResult<Option<T>>,
) -> DbResult<Vec<T>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut done = Vec::new();
    for key in keys {
        if done.len() >= limit {
            break;
        }
        match tx.savepoint(|tx| handle(tx, &key)) {
            Ok(handled) => done.extend(handled),
            Err(error) if !tx.is_over() && error.is_of_one_row() => {
                tracing::warn!(?error, "left a row that cannot be handled");
                *poisoned += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
