//! Jobs that are done, on their way into the store. They go there together with the next
//! claim, so that many short jobs cost one commit; without a delay when there is nothing
//! else to do.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Shared, request};
use crate::bus::Hint;
use crate::model::{Claim, Lease};
use crate::retry;
use crate::store::{StoreError, StoreResult};

/// A job that its handler has completed.
pub(super) struct Finished {
    pub(super) claim: Claim,
    /// Whether another may have waited for its end.
    pub(super) keyed: bool,
    pub(super) lost: CancellationToken,
}

/// What a worker has done and the store has not taken yet.
#[derive(Default)]
pub(super) struct Handover {
    done: Vec<Finished>,
    /// After the store has failed.
    pause: Option<Duration>,
}

impl Handover {
    pub(super) fn add(&mut self, finished: Option<Finished>) {
        self.done.extend(finished);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// How long to wait until the store is asked again to take what is done.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause.filter(|_| !self.is_empty())
    }

    /// Hands in what is done, and takes up to `room` jobs. What the store does not take
    /// now is kept until it does, or until the lease is gone.
    pub(super) async fn exchange(&mut self, shared: &Shared, room: u32) -> Vec<Lease> {
        loop {
            self.forget_lost(shared);
            // After a failure what is done goes alone: trouble with the queue must not
            // hold it up.
            let alone = self.pause().is_some();
            let next = (room > 0 && !alone).then(|| request(shared, room));
            if next.is_none() && self.is_empty() {
                return Vec::new();
            }
            let claims: Vec<Claim> = self.done.iter().map(|one| one.claim).collect();
            match shared.engine.store.exchange(&claims, next).await {
                Ok(answer) => {
                    // A claim that found nothing has written nothing.
                    if !claims.is_empty() || !answer.leases.is_empty() {
                        shared.engine.trouble.over();
                    }
                    self.pause = None;
                    self.note(shared, answer.completed);
                    if !alone {
                        return answer.leases;
                    }
                }
                Err(error) => {
                    self.failed(shared, &error, alone);
                    return Vec::new();
                }
            }
        }
    }

    fn forget_lost(&mut self, shared: &Shared) {
        let lost = self.done.extract_if(.., |one| one.lost.is_cancelled());
        for Finished { claim, .. } in lost {
            let error = StoreError::LeaseLost { job: claim.job };
            not_recorded(shared, &claim, &error);
        }
    }

    fn note(&mut self, shared: &Shared, completed: Vec<StoreResult<()>>) {
        let mut keyed = false;
        let mut completed = completed.into_iter();
        for one in self.done.drain(..) {
            keyed |= one.keyed;
            match completed.next() {
                Some(Ok(())) => drop(shared.held().remove(&one.claim)),
                Some(Err(error)) => not_recorded(shared, &one.claim, &error),
                None => not_recorded(
                    shared,
                    &one.claim,
                    &StoreError::LeaseLost { job: one.claim.job },
                ),
            }
        }
        if keyed {
            shared.engine.bus.publish(Hint::Jobs);
        }
    }

    fn failed(&mut self, shared: &Shared, error: &StoreError, alone: bool) {
        shared.engine.trouble.failed(error);
        if alone && !error.retryable() {
            for one in self.done.drain(..) {
                not_recorded(shared, &one.claim, error);
            }
        }
        let done = self.done.len();
        tracing::warn!(%error, done, "the store gave no jobs and took none; trying again");
        self.pause = Some(retry::longer(self.pause));
    }
}

/// Lets go of a job whose end the store will not take. Its lease runs out, and it is
/// carried out again.
fn not_recorded(shared: &Shared, claim: &Claim, error: &StoreError) {
    tracing::warn!(job = %claim.job, %error, "the end of a job was not recorded");
    shared.held().remove(claim);
}
