//! Jobs that are done, on their way into the store. They go there together with the next
//! claim, so that many short jobs cost one commit; without a delay when there is nothing
//! else to do.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::unheard::Unheard;
use crate::bus::Hint;
use crate::model::{Claim, Lease};
use crate::retry;
use crate::store::{ClaimRequest, Exchange, StoreError, StoreResult};

/// For so long, at most, a job that is done waits for others that are to be handed in with it.
/// After a crash it is done again.
const PATIENCE: Duration = Duration::from_millis(10);

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
    /// When the first of them was done.
    since: Option<Instant>,
    /// After the store has failed.
    pause: Option<Duration>,
    unheard: Unheard,
}

/// One call to the store: what is handed in, and what is asked for.
pub(super) struct Call {
    done: Vec<Finished>,
    next: Option<ClaimRequest>,
}

/// What the store said to it.
pub(super) struct Answer {
    call: Call,
    said: StoreResult<Exchange>,
}

impl Call {
    pub(super) async fn make(self, shared: &Shared) -> Answer {
        let claims: Vec<Claim> = self.done.iter().map(|one| one.claim).collect();
        let said = shared.engine.store.exchange(&claims, self.next.clone());
        Answer {
            said: said.await,
            call: self,
        }
    }
}

impl Handover {
    pub(super) fn add(&mut self, finished: Vec<Finished>) {
        if !finished.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        self.done.extend(finished);
    }

    /// How long what is done may wait yet.
    pub(super) fn patience(&self) -> Option<Duration> {
        let since = self.since?;
        Some(PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Whether the store took the last call.
    pub(super) fn is_well(&self) -> bool {
        self.pause.is_none()
    }

    /// How long to wait, where nothing happens and no call is on its way, until the store is
    /// asked again: first to take what is done, then what it holds.
    pub(super) fn wait(&self) -> Duration {
        self.pause().unwrap_or_else(|| self.unheard.due_in())
    }

    fn pause(&self) -> Option<Duration> {
        self.pause.filter(|_| !self.done.is_empty())
    }

    /// Whether jobs may be asked for. After a failure what is done goes alone: trouble with
    /// the queue must not hold it up.
    pub(super) fn may_claim(&self) -> bool {
        self.pause().is_none() && !self.unheard.is_open()
    }

    /// Jobs whose claim was not answered, at most `room`, when it is time to ask for them.
    /// No call may be on its way.
    pub(super) async fn find(&mut self, shared: &Shared, room: u32) -> Vec<Lease> {
        match self.pause().is_none() && self.unheard.due_in().is_zero() {
            true => self.unheard.ask(shared, room).await,
            false => Vec::new(),
        }
    }

    /// Gives back, before the worker ends, what the store may hold for it.
    pub(super) async fn leave(&mut self, shared: &Shared) {
        if self.unheard.is_open() {
            self.unheard.ask(shared, 0).await;
        }
        shared.give_back(&*shared.engine.store).await;
    }

    /// The call that hands in what is done and asks for `next`; none when there is nothing
    /// to say.
    pub(super) fn call(&mut self, shared: &Shared, next: Option<ClaimRequest>) -> Option<Call> {
        if shared.drain.is_cancelled() {
            self.forget_lost(shared);
        }
        if next.is_none() && self.done.is_empty() {
            return None;
        }
        let done = std::mem::take(&mut self.done);
        self.since = None;
        Some(Call { done, next })
    }

    /// Takes note of the answer to a call that was `sent` then; gives the jobs that were
    /// taken, none where none were asked for or the store has failed. What it did not take is
    /// kept until it does: it knows whether the lease is gone.
    pub(super) fn answered(
        &mut self,
        shared: &Shared,
        answer: Answer,
        sent: Instant,
    ) -> Option<Vec<Lease>> {
        let Call { done, next } = answer.call;
        match answer.said {
            Ok(said) => {
                // A claim that found nothing has written nothing.
                if !done.is_empty() || !said.leases.is_empty() {
                    shared.engine.trouble.over();
                }
                self.pause = None;
                note(shared, done, said.completed);
                next.map(|_| said.leases)
            }
            Err(error) => {
                shared.engine.trouble.failed(&error);
                if next.is_some() {
                    self.unheard.note(sent);
                }
                if next.is_none() && !error.retryable() {
                    for one in done {
                        shared.let_go(&one.claim, &error);
                    }
                } else {
                    self.done.splice(..0, done);
                }
                let done = self.done.len();
                tracing::warn!(%error, done, "the store gave no jobs and took none; trying again");
                self.pause = Some(retry::longer(self.pause));
                None
            }
        }
    }

    /// Nobody waits for the store when the worker ends.
    fn forget_lost(&mut self, shared: &Shared) {
        let lost = self.done.extract_if(.., |one| one.lost.is_cancelled());
        for Finished { claim, .. } in lost {
            let error = StoreError::LeaseLost { job: claim.job };
            shared.let_go(&claim, &error);
        }
    }
}

fn note(shared: &Shared, done: Vec<Finished>, completed: Vec<StoreResult<()>>) {
    let keyed = done.iter().any(|one| one.keyed);
    let mut completed = completed.into_iter();
    for one in done {
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
