//! Keeps the leases of the jobs in hand, and gives up those that it could not keep.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::bus::Hint;
use crate::job::StopReason;
use crate::model::Claim;
use crate::store::Beat;

/// Heartbeats for all jobs in hand, in one call; at once when somebody has called one
/// off.
pub(super) async fn keep(shared: Arc<Shared>) {
    let term = shared.options.lease;
    let mut hints = shared.engine.bus.subscribe();
    loop {
        let wake = async { while !matches!(hints.next().await, Hint::Cancel | Hint::Missed) {} };
        tokio::select! {
            biased;
            () = shared.ended.cancelled() => return,
            () = tokio::time::sleep(term / 4) => {}
            () = wake => {}
        }
        let claims: Vec<Claim> = shared.held().keys().copied().collect();
        if !claims.is_empty() {
            beat(&shared, &claims, term).await;
        }
    }
}

async fn beat(shared: &Shared, claims: &[Claim], term: Duration) {
    let sent = Instant::now();
    let answer = tokio::time::timeout(term / 4, shared.engine.store.heartbeat(claims, term)).await;
    let beats = match answer {
        Ok(Ok(beats)) => beats,
        Ok(Err(error)) => {
            shared.engine.trouble.failed(&error);
            return tracing::warn!(%error, "a heartbeat was not taken");
        }
        Err(_) => {
            shared
                .engine
                .trouble
                .failed(&"a heartbeat was not answered in time");
            return tracing::warn!("a heartbeat was not answered in time");
        }
    };
    shared.engine.trouble.over();
    let mut held = shared.held();
    for (claim, beat) in claims.iter().zip(beats) {
        let Some(held) = held.get_mut(claim) else {
            continue;
        };
        match beat {
            Beat::Held { cancel } => {
                held.alive = sent;
                if cancel {
                    held.job.stop(StopReason::Cancel);
                }
            }
            Beat::Lost => held.job.stop(StopReason::Lost),
        }
    }
}

/// Stops each job whose lease may soon be another's: two thirds of the lease after the
/// last heartbeat that was answered, and at most a twelfth later. By a clock of its own,
/// because a store that hangs holds the heartbeats up.
pub(super) async fn doubt(shared: Arc<Shared>) {
    let term = shared.options.lease;
    loop {
        tokio::select! {
            biased;
            () = shared.ended.cancelled() => return,
            () = tokio::time::sleep(term / 12) => {}
        }
        for held in shared.held().values() {
            if held.alive.elapsed() > term * 2 / 3 {
                held.job.stop(StopReason::Lost);
            }
        }
    }
}
