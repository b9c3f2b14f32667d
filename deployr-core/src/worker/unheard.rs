//! Claims whose answer did not come. The store may hold jobs for this worker of which it
//! knows nothing: it asks for them, or else they would wait until their leases have run out.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::model::{Claim, Lease};
use crate::retry;
use crate::store::{Beat, StoreResult};

/// Longer than any store goes on with a call whose caller has gone away.
const SETTLED: Duration = Duration::from_secs(30);

/// When to ask what the store holds for this worker.
#[derive(Default)]
pub(super) struct Unheard {
    asks: VecDeque<Instant>,
    /// After the store has failed.
    pause: Option<Duration>,
}

impl Unheard {
    /// A claim that was sent then has failed: it was done all the same, perhaps, or will
    /// be when the store gets to it.
    pub(super) fn note(&mut self, sent: Instant) {
        let soon = Instant::now() + retry::longer(None);
        self.asks = [soon, sent + SETTLED].into();
    }

    /// Whether the store has not been asked since. Until then no more is claimed.
    pub(super) fn is_open(&self) -> bool {
        self.asks.len() > 1
    }

    /// How long to wait until it is time to ask.
    pub(super) fn due_in(&self) -> Duration {
        let next = self.asks.front();
        next.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// Asks, and gives what was found and is still held; what there is no room for goes
    /// back to the queue.
    pub(super) async fn ask(&mut self, shared: &Shared, room: u32) -> Vec<Lease> {
        match find(shared, room).await {
            Ok(leases) => {
                self.asks.pop_front();
                self.pause = None;
                leases
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask for jobs whose claim was not answered");
                let pause = retry::longer(self.pause);
                self.pause = Some(pause);
                if let Some(next) = self.asks.front_mut() {
                    *next = Instant::now() + pause;
                }
                Vec::new()
            }
        }
    }
}

async fn find(shared: &Shared, room: u32) -> StoreResult<Vec<Lease>> {
    let (store, term) = (&shared.engine.store, shared.options.lease);
    // Before the store is asked: what ends meanwhile is not taken for unknown.
    let known = shared.known();
    let mut jobs = store.held(shared.id).await?;
    jobs.retain(|job| !known.contains(&shared.claim_of(job)));
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    tracing::warn!(jobs = jobs.len(), "found jobs whose claim was not answered");
    let claims: Vec<Claim> = jobs.iter().map(|job| shared.claim_of(job)).collect();
    let beats = store.heartbeat(&claims, term).await?;
    let mut leases = Vec::new();
    for ((job, claim), beat) in jobs.into_iter().zip(claims).zip(beats) {
        match beat {
            Beat::Lost => {}
            Beat::Held { .. } if leases.len() < room as usize => {
                leases.push(Lease { job, claim, term });
            }
            Beat::Held { .. } => store.release(&claim).await?,
        }
    }
    Ok(leases)
}
