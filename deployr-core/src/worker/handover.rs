//! Jobs that are done, on their way into the store. They go there together with the next
//! claim, so that many short jobs cost one commit; without a delay when there is nothing
//! else to do.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::unheard::Unheard;
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
    unheard: Unheard,
}

impl Handover {
    pub(super) fn add(&mut self, finished: Option<Finished>) {
        self.done.extend(finished);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// How long to wait, where nothing happens, until the store is asked again.
    pub(super) fn wait(&self) -> Duration {
        let pause = self.pause().unwrap_or(Duration::MAX);
        pause.min(self.unheard.due_in())
    }

    fn pause(&self) -> Option<Duration> {
        self.pause.filter(|_| !self.is_empty())
    }

    /// Hands in what is done, and takes up to `room` jobs. What the store does not take
    /// now is kept until it does: it knows whether the lease is gone.
    pub(super) async fn exchange(&mut self, shared: &Shared, room: u32) -> Vec<Lease> {
        loop {
            if shared.drain.is_cancelled() {
                self.forget_lost(shared);
            }
            // After a failure what is done goes alone: trouble with the queue must not
            // hold it up.
            let alone = self.pause().is_some();
            if !alone && self.unheard.due_in().is_zero() {
                let found = self.unheard.ask(shared, room).await;
                if !found.is_empty() {
                    return found;
                }
            }
            let may_claim = room > 0 && !alone && !self.unheard.is_open();
            let next = may_claim.then(|| request(shared, room));
            if next.is_none() && self.is_empty() {
                return Vec::new();
            }
            let claims: Vec<Claim> = self.done.iter().map(|one| one.claim).collect();
            let (claimed, sent) = (next.is_some(), Instant::now());
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
                    if claimed {
                        self.unheard.note(sent);
                    }
                    self.failed(shared, &error, alone);
                    return Vec::new();
                }
            }
        }
    }

    /// Gives back, before the worker ends, what the store may hold for it.
    pub(super) async fn leave(&mut self, shared: &Shared) {
        if self.unheard.is_open() {
            self.unheard.ask(shared, 0).await;
        }
        shared.give_back(&*shared.engine.store).await;
    }

    /// Nobody waits for the store when the worker ends.
    fn forget_lost(&mut self, shared: &Shared) {
        let lost = self.done.extract_if(.., |one| one.lost.is_cancelled());
        for Finished { claim, .. } in lost {
            let error = StoreError::LeaseLost { job: claim.job };
            shared.let_go(&claim, &error);
        }
    }

    fn note(&mut self, shared: &Shared, completed: Vec<StoreResult<()>>) {
        let mut keyed = false;
        let mut completed = completed.into_iter();
        for one in self.done.drain(..) {
            keyed |= one.keyed;
            match completed.next() {
                Some(Ok(())) => drop(shared.held().remove(&one.claim)),
                Some(Err(error)) => shared.let_go(&one.claim, &error),
                None => {
                    let error = StoreError::LeaseLost { job: one.claim.job };
                    shared.let_go(&one.claim, &error);
                }
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
                shared.let_go(&one.claim, error);
            }
        }
        let done = self.done.len();
        tracing::warn!(%error, done, "the store gave no jobs and took none; trying again");
        self.pause = Some(retry::longer(self.pause));
    }
}
