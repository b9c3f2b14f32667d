//! Putting right what time has changed. Each row is handled in a savepoint of its own,
//! so that one that cannot be handled stops none of the others.

use std::time::Duration;

use deployr_core::model::JobId;
use deployr_core::store::{Sweep, Watch};
use deployr_core::system;
use uuid::Uuid;

use super::jobs;
use super::moves;
use super::places;
use super::query::{many, one, scalar};
use super::watch;
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
    rescue(tx, term, retry_after, limit, &mut sweep)?;

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

/// Ends the leases that ran out, where they may be ended.
fn rescue(
    tx: &Tx<'_>,
    term: Option<Duration>,
    retry_after: Duration,
    limit: u32,
    sweep: &mut Sweep,
) -> DbResult<()> {
    let before = term.map_or(i64::MAX, |term| {
        system::earlier(tx.now, Watch::grace(term)).timestamp_micros()
    });
    let sql = "SELECT id FROM jobs WHERE state = 'running' AND lease_until < ?1
               ORDER BY lease_until";
    let mut expired: Vec<Uuid> = many(tx.db, sql, [before], scalar)?;
    let stored = watch::stored(tx.db)?;
    let mut watch = stored;
    if let Some(term) = term
        && !may_end(tx, &mut watch, term, expired.len() as u64)?
    {
        sweep.held_back = u32::try_from(expired.len()).unwrap_or(u32::MAX);
        expired.clear();
    }
    sweep.rescued = each(tx, expired, limit, &mut sweep.poisoned, |tx, id| {
        let mut job = jobs::find(tx.db, JobId::from_uuid(*id))?;
        let state = moves::after_fault(tx, &mut job, LEASE_EXPIRED, Some(retry_after), None)?;
        Ok(Some((job.id, state)))
    })?;
    if let Some(term) = term {
        watch.note_ended(tx.now, term, sweep.rescued.len() as u64);
    }
    match watch == stored {
        true => Ok(()),
        false => watch::keep(tx.db, &watch),
    }
}

/// Whether leases that ran out may be ended: so many did.
fn may_end(tx: &Tx<'_>, watch: &mut Watch, term: Duration, expired: u64) -> DbResult<bool> {
    let count = |before: i64| -> DbResult<u64> {
        let sql = "SELECT count(*) FROM jobs WHERE state = 'running' AND lease_until < ?1";
        let count: i64 = one(tx.db, sql, [before], scalar)?.unwrap_or_default();
        Ok(count.unsigned_abs())
    };
    let running = count(i64::MAX)?;
    if running == 0 {
        return Ok(true);
    }
    let stale = count(system::earlier(tx.now, Watch::stale(term)).timestamp_micros())?;
    Ok(watch.may_end(tx.now, term, running - stale, expired - stale))
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
