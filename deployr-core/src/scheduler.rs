//! What time changes: leases that ran out, jobs that waited too long, pending jobs
//! whose turn has come.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::Hint;
use crate::engine::Inner;
use crate::retry;
use crate::store::StoreResult;

/// Rows of each sort that one sweep handles; the next goes on with the rest.
const ROWS: u32 = 100;

/// Sweeps at once, for an engine that starts may follow on one that was lost, and then
/// every `every` until `stop`. Any number of nodes may do so at the same time.
pub(crate) async fn run(
    engine: &Inner,
    every: Duration,
    grace: Duration,
    stop: &CancellationToken,
) {
    loop {
        if let Err(error) = sweep(engine, Some(grace)).await {
            tracing::warn!(%error, "the queue was not swept; trying again");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Sweeps once, and tells what was found. Gives whether there may be more to rescue. See
/// [`JobQueue::sweep`](crate::store::JobQueue::sweep).
pub(crate) async fn sweep(engine: &Inner, grace: Option<Duration>) -> StoreResult<bool> {
    let pause = retry::backoff(1, &*engine.entropy) / 10;
    let sweep = engine.store.sweep(grace, pause, ROWS).await;
    let sweep = sweep.inspect_err(|error| engine.trouble.failed(error))?;
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
    Ok(sweep.rescued.len() == ROWS as usize)
}
