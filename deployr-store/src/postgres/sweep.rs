//! Putting right what time has changed. Each row is handled in a savepoint of its own,
//! so that one that cannot be handled stops none of the others; and none is waited for:
//! what another call holds is being changed already, or is found by the next sweep.

use std::time::Duration;

use deployr_core::model::{Job, JobId, JobState};
use deployr_core::store::{StoreResult, Sweep, Watch};
use deployr_core::system::{self, Timestamp};
use sqlx::Row;
use tokio::time::Instant;
use uuid::Uuid;

use super::PgStore;
use super::calls::{Tx, Work};
use super::moves;
use super::places;
use super::query::{many, one, scalar};
use super::rows::{self, columns};
use super::time::Time;
use super::watch;
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

/// How long one sort is gone through: well within what a call may take, however slow the way
/// to the server is. The next sweep goes on with the rest.
const LONG: Duration = Duration::from_secs(3);

/// Each sort in a transaction of its own, so that one that does not come to its end undoes
/// nothing of the others.
pub(super) async fn sweep(
    store: &PgStore,
    term: Option<Duration>,
    retry_after: Duration,
    limit: u32,
) -> StoreResult<Sweep> {
    let rescue = store.write("sweep", |tx| Box::pin(rescue(tx, term, retry_after, limit)));
    let mut sweep = rescue.await?;
    let time_out = store.write("sweep", |tx| Box::pin(time_out(tx, limit)));
    let late = time_out.await?;
    sweep.timed_out = late.rows;
    sweep.poisoned += late.poisoned;
    // Whatever frees a place promotes the next at once, as a rule: some wait though there is
    // room where they stand far behind, another call was at a key at the same time, a row could
    // not be handled, or something was changed by hand.
    for find in [DUE.find, include_str!("sql/jobs_with_room.sql")] {
        let promote = store.write("sweep", |tx| Box::pin(promote(tx, find, limit)));
        let promoted = promote.await?;
        let rows = u32::try_from(promoted.rows.len()).unwrap_or(u32::MAX);
        sweep.promoted = sweep.promoted.saturating_add(rows);
        sweep.poisoned += promoted.poisoned;
    }
    Ok(sweep)
}

/// Ends the leases that ran out, where they may be ended.
async fn rescue(
    tx: &mut Tx<'_>,
    term: Option<Duration>,
    retry_after: Duration,
    limit: u32,
) -> DbResult<Sweep> {
    let before = Time(match term {
        Some(term) => system::earlier(tx.now, Watch::grace(term)),
        None => Timestamp::MAX_UTC,
    });
    let Some(term) = term else {
        return end_leases(tx, before, limit, retry_after).await;
    };
    let sql = "SELECT count(*), count(*) FILTER (WHERE lease_until < $1),
                   count(*) FILTER (WHERE lease_until < $2)
               FROM jobs WHERE state = 'running'";
    let stale = Time(system::earlier(tx.now, Watch::stale(term)));
    let counts = sqlx::query(sql).bind(before).bind(stale);
    let counts = counts.fetch_one(tx.db()).await?;
    let count = |column: usize| counts.try_get(column).map(i64::unsigned_abs);
    let (running, expired, stale) = (count(0)?, count(1)?, count(2)?);
    if running == 0 {
        return Ok(Sweep::default());
    }
    // Where another sweep is at them, they are left to that.
    let Some(stored) = watch::take(tx.db()).await? else {
        return Ok(Sweep::default());
    };
    let mut watch = stored;
    let mut sweep = Sweep::default();
    if watch.may_end(tx.now, term, running - stale, expired - stale) {
        sweep = end_leases(tx, before, limit, retry_after).await?;
        watch.note_ended(tx.now, term, sweep.rescued.len() as u64);
    } else {
        sweep.held_back = u32::try_from(expired).unwrap_or(u32::MAX);
    }
    if watch != stored {
        watch::keep(tx.db(), &watch).await?;
    }
    Ok(sweep)
}

async fn end_leases(
    tx: &mut Tx<'_>,
    before: Time,
    limit: u32,
    retry_after: Duration,
) -> DbResult<Sweep> {
    let rescued = each(tx, EXPIRED.find, before, limit, |tx, id| {
        Box::pin(async move {
            let Some(mut job) = take(tx, &EXPIRED, before, id).await? else {
                return Ok(None);
            };
            let state = moves::after_fault(tx, &mut job, LEASE_EXPIRED, Some(retry_after), None);
            let state: JobState = state.await?;
            Ok(Some((job.id, state)))
        })
    });
    let rescued = rescued.await?;
    Ok(Sweep {
        rescued: rescued.rows,
        poisoned: rescued.poisoned,
        ..Sweep::default()
    })
}

/// Ends those that should have started.
async fn time_out(tx: &mut Tx<'_>, limit: u32) -> DbResult<Handled<JobId>> {
    let now = tx.now();
    each(tx, LATE.find, now, limit, |tx, id| {
        Box::pin(async move {
            let Some(mut job) = take(tx, &LATE, now, id).await? else {
                return Ok(None);
            };
            let why = queue_timeout(&job);
            moves::after_fault(tx, &mut job, why, None, None).await?;
            Ok(Some(job.id))
        })
    })
    .await
}

async fn promote(tx: &mut Tx<'_>, find: &'static str, limit: u32) -> DbResult<Handled<()>> {
    let now = tx.now();
    each(tx, find, now, limit, |tx, id| {
        Box::pin(async move {
            let promoted = places::promote(tx, JobId::from_uuid(id)).await?;
            Ok(promoted.then_some(()))
        })
    })
    .await
}

/// What came of the rows of one sort.
struct Handled<T> {
    rows: Vec<T>,
    poisoned: u32,
}

/// Handles those that `find` gives one after the other, until `limit` of them are done, or it
/// takes [too long](LONG). Those that cannot be handled do not count towards the limit: a heap
/// of them must not hide those behind it.
async fn each<'a, T: Send>(
    tx: &mut Tx<'a>,
    find: &'static str,
    time: Time,
    limit: u32,
    handle: impl for<'t> Fn(&'t mut Tx<'a>, Uuid) -> Work<'t, Option<T>> + Send + Sync,
) -> DbResult<Handled<T>> {
    let enough = Instant::now() + LONG;
    let mut tried = Vec::new();
    let (mut rows, mut poisoned) = (Vec::new(), 0);
    loop {
        let wanted = i64::from(limit) - rows.len() as i64;
        let found = sqlx::query(find).bind(time).bind(wanted).bind(&tried);
        let found: Vec<Uuid> = many(tx.db(), found, scalar).await?;
        if found.is_empty() {
            return Ok(Handled { rows, poisoned });
        }
        for id in found {
            if Instant::now() >= enough {
                return Ok(Handled { rows, poisoned });
            }
            tried.push(id);
            match tx.savepoint(|tx| handle(tx, id)).await {
                Ok(handled) => rows.extend(handled),
                Err(error) if error.is_of_one_row() => {
                    tracing::warn!(?error, "left a row that cannot be handled");
                    poisoned += 1;
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
