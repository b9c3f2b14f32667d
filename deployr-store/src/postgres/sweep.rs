//! Putting right what time has changed. Each row is handled in a savepoint of its own,
//! so that one that cannot be handled stops none of the others; and none is waited for:
//! what another call holds is being changed already, or is found by the next sweep.

use std::time::Duration;

use deployr_core::model::{Job, JobState};
use deployr_core::store::Sweep;
use deployr_core::system::Timestamp;
use sqlx::postgres::Postgres;
use sqlx::{Decode, Type};
use uuid::Uuid;

use super::calls::{Tx, Work};
use super::error::DbResult;
use super::jobs;
use super::moves;
use super::query::{many, one, scalar};
use super::rows::{self, columns};
use super::time::{self, Time};

const LEASE_EXPIRED: &str = "the worker was lost";
const QUEUE_TIMEOUT: &str = "not started in time: no worker took it, or its turn did not come";

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
                " ORDER BY ",
                $order,
                " LIMIT $2 OFFSET $3"
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
    "state IN ('pending', 'queued') AND fence = 0 AND start_by <= $1",
    "start_by, id"
);

pub(super) async fn sweep(
    tx: &mut Tx<'_>,
    grace: Option<Duration>,
    retry_after: Duration,
    limit: u32,
) -> DbResult<Sweep> {
    let mut sweep = Sweep::default();
    let poisoned = &mut sweep.poisoned;

    let before = Time(grace.map_or(Timestamp::MAX_UTC, |grace| time::earlier(tx.now, grace)));
    let rescue = each(tx, EXPIRED.find, before, limit, poisoned, |tx, id: Uuid| {
        Box::pin(async move {
            let Some(mut job) = take(tx, &EXPIRED, before, id).await? else {
                return Ok(None);
            };
            let state = moves::after_fault(tx, &mut job, LEASE_EXPIRED, Some(retry_after), None);
            let state: JobState = state.await?;
            Ok(Some((job.id, state)))
        })
    });
    sweep.rescued = rescue.await?;

    let now = tx.now();
    let time_out = each(tx, LATE.find, now, limit, poisoned, |tx, id: Uuid| {
        Box::pin(async move {
            let Some(mut job) = take(tx, &LATE, now, id).await? else {
                return Ok(None);
            };
            moves::fail(tx, &mut job, QUEUE_TIMEOUT, None).await?;
            Ok(Some(job.id))
        })
    });
    sweep.timed_out = time_out.await?;

    // Whatever frees a key promotes the next at once: this finds something only where
    // a row could not be handled, or was changed by hand.
    let free_keys = include_str!("sql/free_keys.sql");
    let promote = each(tx, free_keys, now, limit, poisoned, |tx, key: String| {
        Box::pin(async move {
            let promoted = try_lock(tx, &key).await? && jobs::promote(tx, &key).await?;
            Ok(promoted.then_some(()))
        })
    });
    let promoted = promote.await?;
    sweep.promoted = u32::try_from(promoted.len()).unwrap_or(u32::MAX);
    Ok(sweep)
}

/// Handles those that `find` gives one after the other, until `limit` of them are done.
/// Those that cannot be handled do not count towards the limit: a heap of them must not
/// hide those behind it.
async fn each<'a, K, T>(
    tx: &mut Tx<'a>,
    find: &'static str,
    time: Time,
    limit: u32,
    poisoned: &mut u32,
    handle: impl for<'t> Fn(&'t mut Tx<'a>, K) -> Work<'t, Option<T>> + Send + Sync,
) -> DbResult<Vec<T>>
where
    K: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send,
    T: Send,
{
    let (limit, mut skipped) = (i64::from(limit), 0_i64);
    let mut done = Vec::new();
    loop {
        let wanted = limit - done.len() as i64;
        // What was handled is no longer found.
        let found = sqlx::query(find).bind(time).bind(wanted).bind(skipped);
        let keys: Vec<K> = many(tx.db(), found, scalar).await?;
        if keys.is_empty() {
            return Ok(done);
        }
        for key in keys {
            match tx.savepoint(|tx| handle(tx, key)).await {
                Ok(Some(handled)) => done.push(handled),
                Ok(None) => skipped += 1,
                Err(error) if error.is_of_one_row() => {
                    tracing::warn!(?error, "left a row that cannot be handled");
                    *poisoned += 1;
                    skipped += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The job, locked together with its key; none where it is no longer of that sort, or
/// another call holds either.
async fn take(tx: &mut Tx<'_>, sort: &Sort, time: Time, id: Uuid) -> DbResult<Option<Job>> {
    let sql = "SELECT concurrency_key FROM jobs WHERE id = $1";
    let key: Option<Option<String>> = one(tx.db(), sqlx::query(sql).bind(id), scalar).await?;
    if let Some(Some(key)) = key
        && !try_lock(tx, &key).await?
    {
        return Ok(None);
    }
    let statement = sqlx::query(sort.take).bind(time).bind(id);
    one(tx.db(), statement, rows::job).await
}

/// Locks a concurrency key, unless another call holds it.
async fn try_lock(tx: &mut Tx<'_>, key: &str) -> DbResult<bool> {
    let statement = sqlx::query(include_str!("sql/try_lock_key.sql")).bind(key);
    Ok(one(tx.db(), statement, scalar).await?.unwrap_or(false))
}
