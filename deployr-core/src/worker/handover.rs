//! Jobs that are done, on their way into the store. They go there together with the next
//! claim, so that many short jobs cost one commit; without a delay when there is nothing
//! else to do.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
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
    pub(super) fn add(&mut self, finished: Option<Finished>) {
        if finished.is_some() {
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

    /// How long to wait until the store is asked again to take what is done.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause.filter(|_| !self.done.is_empty())
    }

    /// Whether what is done goes alone, after a failure: trouble with the queue must not hold
    /// it up.
    pub(super) fn goes_alone(&self) -> bool {
        self.pause().is_some()
    }

    /// The call that hands in what is done and asks for `next`; none when there is nothing
    /// to say.
    pub(super) fn call(&mut self, shared: &Shared, next: Option<ClaimRequest>) -> Option<Call> {
        self.forget_lost(shared);
        if next.is_none() && self.done.is_empty() {
            return None;
        }
        let done = std::mem::take(&mut self.done);
        self.since = None;
        Some(Call { done, next })
    }

    /// Takes note of an answer; gives the jobs that were taken, none where none were asked
    /// for or the store has failed. What it did not take is kept until it does, or until the
    /// lease is gone.
    pub(super) fn answered(&mut self, shared: &Shared, answer: Answer) -> Option<Vec<Lease>> {
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
                if next.is_none() && !error.retryable() {
                    for one in done {
                        not_recorded(shared, &one.claim, &error);
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

    fn forget_lost(&mut self, shared: &Shared) {
        let lost = self.done.extract_if(.., |one| one.lost.is_cancelled());
        for Finished { claim, .. } in lost {
            let error = StoreError::LeaseLost { job: claim.job };
            not_recorded(shared, &claim, &error);
        }
    }
}

fn note(shared: &Shared, done: Vec<Finished>, completed: Vec<StoreResult<()>>) {
    let keyed = done.iter().any(|one| one.keyed);
    let mut completed = completed.into_iter();
    for one in done {
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

/// Lets go of a job whose end the store will not take. Its lease runs out, and it is
/// carried out again.
fn not_recorded(shared: &Shared, claim: &Claim, error: &StoreError) {
    tracing::warn!(job = %claim.job, %error, "the end of a job was not recorded");
    shared.held().remove(claim);
}
