//! Says that the worker lives, for people and for answers to why a job waits.

use std::time::Duration;

use tokio::time::timeout;

use super::Shared;
use crate::store::WorkerReport;

const PATIENCE: Duration = Duration::from_secs(1);

/// Reports as often as heartbeats come, until the worker has ended; then takes its name
/// off the list.
pub(super) async fn keep(shared: &Shared) {
    let store = &shared.engine.store;
    loop {
        // Nothing hangs on it: told, and tried again with the next.
        if let Err(error) = store.report_worker(report(shared)).await {
            tracing::debug!(%error, "the worker is not in the register");
        }
        tokio::select! {
            biased;
            () = shared.ended.cancelled() => break,
            () = tokio::time::sleep(shared.options.lease / 4) => {}
        }
    }
    // A store that hangs must not hold up the end.
    if !matches!(
        timeout(PATIENCE, store.remove_worker(shared.id)).await,
        Ok(Ok(()))
    ) {
        tracing::debug!("the worker is still in the register");
    }
}

fn report(shared: &Shared) -> WorkerReport {
    WorkerReport {
        id: shared.id,
        node: shared.options.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kinds: shared.engine.handlers.keys().cloned().collect(),
        offers: shared.options.offers.clone(),
        concurrency: shared.options.concurrency,
        lease: shared.options.lease,
        held: u32::try_from(shared.held().len()).unwrap_or(u32::MAX),
    }
}
