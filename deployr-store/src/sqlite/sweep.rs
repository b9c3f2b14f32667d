//! Putting right what time has changed. Each row is handled in a savepoint of its own,
//! so that one that cannot be handled stops none of the others.

use std::time::Duration;

use deployr_core::model::JobId;
use deployr_core::store::Sweep;
use uuid::Uuid;

use super::jobs;
use super::moves;
use super::places;
use super::query::{many, scalar};
use super::writer::{Tx, micros};
use crate::error::DbResult;
use crate::words::{LEASE_EXPIRED, QUEUE_TIMEOUT};

pub(super) fn sweep(
    tx: &Tx<'_>,
    grace: Option<Duration>,
    retry_after: Duration,
    limit: u32,
) -> DbResult<Sweep> {
    let mut sweep = Sweep::default();

    let sql = "SELECT id FROM jobs WHERE state = 'running' AND lease_until < ?1
               ORDER BY lease_until";
    let before = grace.map_or(i64::MAX, |grace| tx.now().saturating_sub(micros(grace)));
    let expired: Vec<Uuid> = many(tx.db, sql, [before], scalar)?;
    sweep.rescued = each(tx, expired, limit, &mut sweep.poisoned, |tx, id| {
        let mut job = jobs::find(tx.db, JobId::from_uuid(*id))?;
        let state = moves::after_fault(tx, &mut job, LEASE_EXPIRED, Some(retry_after), None)?;
        Ok(Some((job.id, state)))
    })?;

    let late: Vec<Uuid> = many(tx.db, include_str!("sql/late_jobs.sql"), [tx.now()], scalar)?;
    sweep.timed_out = each(tx, late, limit, &mut sweep.poisoned, |tx, id| {
        let mut job = jobs::find(tx.db, JobId::from_uuid(*id))?;
        moves::fail(tx, &mut job, QUEUE_TIMEOUT, None)?;
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
