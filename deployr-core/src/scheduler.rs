//! What time changes: leases that ran out, jobs that waited too long, pending jobs
//! whose turn has come, schedules.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::Hint;
use crate::engine::Inner;
use crate::metrics;
use crate::model::{JobId, Schedule};
use crate::retry;
use crate::store::{Advance, NewJob, Retention, StoreResult, Sweep};
use crate::system::Timestamp;

/// Rows of each sort that one sweep handles; the next goes on with the rest.
const ROWS: u32 = 100;

/// Sweeps at once, for an engine that starts may follow on one that was lost, and then
/// every `every` until `stop`. Any number of nodes may do so at the same time.
pub(crate) async fn run(engine: &Inner, every: Duration, term: Duration, stop: &CancellationToken) {
    // Or else it would look as if the store had been away meanwhile.
    let every = every.min(term / 2);
    let mut held_back = 0;
    loop {
        match sweep(engine, Some(term)).await {
            Ok(sweep) => {
                tell_of(sweep.held_back, held_back);
                held_back = sweep.held_back;
            }
            Err(error) => tracing::warn!(%error, "the queue was not swept; trying again"),
        }
        if let Err(error) = come(engine).await {
            tracing::warn!(%error, "the schedules were not looked at; trying again");
        }
        if let Err(error) = engine.try_away().await {
            tracing::warn!(%error, "releases that do not serve were not looked at; trying again");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Tells when leases are held back, and when they no longer are.
fn tell_of(held_back: u32, before: u32) {
    match (held_back, before) {
        (0, 0) => {}
        (0, _) => tracing::warn!("jobs without a lease are taken from their workers again"),
        (_, 0) => tracing::error!(
            jobs = held_back,
            "so many leases have run out that the workers may be well: either this store was \
             away, or their heartbeats do not reach it. None is taken from its worker until one \
             more lease has passed. Should it happen again, look at the workers' logs"
        ),
        _ => {}
    }
}

/// Whether a sweep may have left others to be rescued: it ends at a number of rows, or after a
/// time of its own.
pub(crate) fn left_some(sweep: &Sweep) -> bool {
    !sweep.rescued.is_empty()
}

/// Sweeps once, and tells what was found. See
/// [`JobQueue::sweep`](crate::store::JobQueue::sweep).
pub(crate) async fn sweep(engine: &Inner, term: Option<Duration>) -> StoreResult<Sweep> {
    let pause = retry::backoff(1, &*engine.entropy) / 10;
    let sweep = engine.store.sweep(term, pause, ROWS).await;
    let sweep = sweep.inspect_err(|error| engine.trouble.failed(error))?;
    metrics::swept(sweep.rescued.len(), sweep.held_back);
    for (job, state) in &sweep.rescued {
        tracing::warn!(%job, %state, "a job's worker was lost");
    }
    if sweep.poisoned > 0 {
        tracing::error!(
            rows = sweep.poisoned,
            "rows of the queue cannot be read; the others go on"
        );
    }
    if sweep.promoted > 0 || !sweep.rescued.is_empty() {
        engine.bus.publish(Hint::Jobs);
    }
    Ok(sweep)
}

/// Enqueues what is due by its timetable.
async fn come(engine: &Inner) -> StoreResult<()> {
    let due = engine.store.due_schedules(ROWS).await?;
    let Some(now) = due.now else {
        return Ok(());
    };
    for schedule in due.schedules {
        let (tenant, name) = (&schedule.tenant, &schedule.name);
        // One that fails must not hold up the others.
        match advance(engine, &schedule, now).await {
            Ok(true) if schedule.next_at.is_some() => {
                tracing::info!(%tenant, schedule = %name, "a scheduled job was enqueued");
                engine.bus.publish(Hint::Jobs);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%tenant, schedule = %name, %error, "a schedule did not come; trying again");
            }
        }
    }
    Ok(())
}

/// Moves a schedule on to its first time after `now`, the store's present, and enqueues
/// its job where it had come; tells whether it did.
pub(crate) async fn advance(
    engine: &Inner,
    schedule: &Schedule,
    now: Timestamp,
) -> StoreResult<bool> {
    let job = schedule.next_at.map(|_| {
        let id = JobId::new(engine.clock.now(), &*engine.entropy);
        NewJob::of(id, schedule.job.clone())
    });
    let advance = Advance {
        seen: schedule.next_at,
        // One that never comes again: stores keep no later time.
        next: schedule
            .timetable
            .next_after(now)
            .unwrap_or(Timestamp::MAX_UTC),
        job,
    };
    let moved = engine
        .store
        .advance(&schedule.tenant, &schedule.name, advance);
    moved.await
}

/// How often is looked for what was kept for long enough.
const TIDY: Duration = Duration::from_secs(60 * 60);
/// Rows of each sort that go in one transaction.
const BATCH: u32 = 1_000;
/// Between two of them, for everybody else.
const BREATH: Duration = Duration::from_millis(100);

/// Removes what was kept for long enough, every hour until `stop`; the first time after up to
/// an hour, so that nodes that start together do not all do so at once.
pub(crate) async fn tidy_up(engine: &Inner, keep: Option<&Retention>, stop: &CancellationToken) {
    let Some(keep) = keep else {
        return;
    };
    let mut wait = TIDY.mul_f64(retry::unit(&*engine.entropy));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match engine.store.prune(keep, BATCH).await {
            Ok(pruned) if pruned.rows() > 0 => {
                tracing::debug!(?pruned, "removed what was kept for long enough");
                BREATH
            }
            Ok(_) => TIDY,
            Err(error) => {
                tracing::warn!(%error, "old rows were not removed; trying again in an hour");
                TIDY
            }
        };
    }
}
