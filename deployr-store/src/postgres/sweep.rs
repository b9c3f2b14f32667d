//! Putting right what time has changed. Each row is handled in a savepoint of its own,
//! so that one that cannot be handled stops none of the others; and none is waited for:
//! what another call holds is being changed already, or is found by the next sweep.

use std::time::Duration;

use deployr_core::model::{Job, JobId, JobState};
use deployr_core::store::{Sweep, Watch};
use deployr_core::system::{self, Timestamp};
use sqlx::Row;
use uuid::Uuid;

use super::calls::{Tx, Work};
use super::moves;
use super::places;
use super::query::{execute, many, one, scalar};
use super::rows::{self, columns};
use super::time::Time;
use crate::error::DbResult;
use crate::words::{LEASE_EXPIRED, queue_timeout};

/// The jobs that a condition, which may look at the time $1, applies to: first which
/// they are, then one of them, unless another call holds it.
struct Sort {
    find: &'static str,
    take: &'static str,
}

macro_rules! sort {
    ($condition:expr, $order:expr) => {
        Sort {
            find: concat!(
                "SELECT id FROM jobs WHERE ",
                $condition,
                " AND id <> ALL($3) ORDER BY ",
                $order,
                " LIMIT $2"
            ),
            take: concat!(
                "SELECT ",
                columns!(jobs),
                " FROM jobs WHERE ",
                $condition,
                " AND id = $2 FOR NO KEY UPDATE SKIP LOCKED"
            ),
        }
    };
}

/// Their lease ran out before $1.
const EXPIRED: Sort = sort!("state = 'running' AND lease_until < $1", "lease_until, id");
/// They should have started by $1.
const LATE: Sort = sort!(
    "state IN ('pending', 'queued') AND start_by <= $1",
    "start_by, id"
);
/// They may be queued from $1 on.
const DUE: Sort = sort!("due_at <= $1", "priority DESC, created_at, id");

pub(super) async fn sweep(
    tx: &mut Tx<'_>,
    term: Option<Duration>,
    retry_after: Duration,
    limit: u32,
) -> DbResult<Sweep> {
    let mut sweep = Sweep::default();
    let poisoned = &mut sweep.poisoned;

    let before = Time(match term {
        Some(term) => system::earlier(tx.now, Watch::grace(term)),
        None => Timestamp::MAX_UTC,
    });
    let ended_at_most = match term {
        Some(term) => may_end(tx, term, before, limit, &mut sweep.held_back).await?,
        None => limit,
    };
    let rescue = each(
        tx,
        EXPIRED.find,
        before,
        ended_at_most,
        poisoned,
        |tx, id| {
            Box::pin(async move {
                let Some(mut job) = take(tx, &EXPIRED, before, id).await? else {
                    return Ok(None);
                };
                let state =
                    moves::after_fault(tx, &mut job, LEASE_EXPIRED, Some(retry_after), None);
                let state: JobState = state.await?;
                Ok(Some((job.id, state)))
            })
        },
    );
    sweep.rescued = rescue.await?;

    let now = tx.now();
    let time_out = each(tx, LATE.find, now, limit, poisoned, |tx, id| {
        Box::pin(async move {
            let Some(mut job) = take(tx, &LATE, now, id).await? else {
                return Ok(None);
            };
            let why = queue_timeout(&job);
            moves::after_fault(tx, &mut job, why, None, None).await?;
            Ok(Some(job.id))
        })
    });
    sweep.timed_out = time_out.await?;

    // Whatever frees a place promotes the next at once, as a rule: some wait though there is
    // room where they stand far behind, another call was at a key at the same time, a row could
    // not be handled, or something was changed by hand.
    for find in [DUE.find, include_str!("sql/jobs_with_room.sql")] {
        let promote = each(tx, find, now, limit, poisoned, |tx, id| {
            Box::pin(async move {
                let promoted = places::promote(tx, JobId::from_uuid(id)).await?;
                Ok(promoted.then_some(()))
            })
        });
        let promoted = u32::try_from(promote.await?.len()).unwrap_or(u32::MAX);
        sweep.promoted = sweep.promoted.saturating_add(promoted);
    }
    Ok(sweep)
}

/// How many leases that ran out before a time may be ended now: up to `limit`, or none where
/// they are held back, or another sweep is at them.
async fn may_end(
    tx: &mut Tx<'_>,
    term: Duration,
    before: Time,
    limit: u32,
    held_back: &mut u32,
) -> DbResult<u32> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE lease_until < $1)
               FROM jobs WHERE state = 'running'";
    let counts = sqlx::query(sql).bind(before).fetch_one(tx.db()).await?;
    let count = |column: usize| counts.try_get(column).map(i64::unsigned_abs);
    let (running, expired) = (count(0)?, count(1)?);
    if running == 0 {
        return Ok(limit);
    }
    let sql = "SELECT swept_at, held_since FROM watch FOR UPDATE SKIP LOCKED";
    let stored = one(tx.db(), sqlx::query(sql), |row| {
        let time = |column: usize| -> DbResult<_> {
            let time: Option<Time> = row.try_get(column)?;
            Ok(time.map(|time| time.0))
        };
        Ok(Watch {
            swept_at: time(0)?,
            held_since: time(1)?,
        })
    });
    let Some(stored) = stored.await? else {
        return Ok(0);
    };
    let mut watch = stored;
    let may_end = watch.may_end(tx.now, term, running, expired);
    if watch != stored {
        let update = sqlx::query("UPDATE watch SET swept_at = $1, held_since = $2")
            .bind(watch.swept_at.map(Time))
            .bind(watch.held_since.map(Time));
        execute(tx.db(), update).await?;
    }
    if may_end {
        return Ok(limit);
    }
    *held_back = u32::try_from(expired).unwrap_or(u32::MAX);
    Ok(0)
}

/// Handles those that `find` gives one after the other, until `limit` of them are done.
/// Those that cannot be handled do not count towards the limit: a heap of them must not
/// hide those behind it.
async fn each<'a, T: Send>(
    tx: &mut Tx<'a>,
    find: &'static str,
    time: Time,
    limit: u32,
    poisoned: &mut u32,
    handle: impl for<'t> Fn(&'t mut Tx<'a>, Uuid) -> Work<'t, Option<T>> + Send + Sync,
) -> DbResult<Vec<T>> {
    let (mut tried, mut done) = (Vec::new(), Vec::new());
    loop {
        let wanted = i64::from(limit) - done.len() as i64;
        let found = sqlx::query(find).bind(time).bind(wanted).bind(&tried);
        let found: Vec<Uuid> = many(tx.db(), found, scalar).await?;
        if found.is_empty() {
            return Ok(done);
        }
        for id in found {
            tried.push(id);
            match tx.savepoint(|tx| handle(tx, id)).await {
                Ok(handled) => done.extend(handled),
                Err(error) if error.is_of_one_row() => {
                    tracing::warn!(?error, "left a row that cannot be handled");
                    *poisoned += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The job, locked together with its keys; none where it is no longer of that sort, or
/// another call holds it or one of them.
async fn take(tx: &mut Tx<'_>, sort: &Sort, time: Time, id: Uuid) -> DbResult<Option<Job>> {
    let keys = sqlx::query("SELECT key FROM job_keys WHERE job = $1").bind(id);
    let keys: Vec<String> = many(tx.db(), keys, scalar).await?;
    if !places::try_lock(tx, &keys).await? {
        return Ok(None);
    }
    let statement = sqlx::query(sort.take).bind(time).bind(id);
    one(tx.db(), statement, rows::job).await
}
