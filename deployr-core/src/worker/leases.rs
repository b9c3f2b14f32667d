//! Keeps the leases of the jobs in hand, and gives up those that it could not keep.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Held, Shared};
use crate::bus::Hint;
use crate::job::StopReason;
use crate::metrics;
use crate::model::{Claim, Job};
use crate::store::{Beat, JobQueue, StoreError};

/// Keeps leases until the worker has ended: on a thread of its own, where jobs that take all
/// the time of theirs cannot hold it up; on the present runtime where that has one thread
/// only, which may have a clock of its own.
pub(super) fn spawn(shared: Arc<Shared>) -> JoinHandle<()> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        let queue = shared.engine.store.clone();
        return tokio::spawn(keep_all(shared, queue));
    }
    let (over, ended) = oneshot::channel::<()>();
    let there = shared.clone();
    let started = Builder::new_current_thread().enable_all().build();
    let started = started.and_then(|runtime| {
        let body = move || {
            let _over = over;
            runtime.block_on(async {
                let store = &there.engine.store;
                let queue = store.apart().unwrap_or_else(|| store.clone());
                keep_all(there.clone(), queue).await;
            });
        };
        let thread = thread::Builder::new().name("deployr-leases".to_owned());
        thread.spawn(body)
    });
    if let Err(error) = started {
        tracing::warn!(%error, "leases are kept by no thread of their own: there is none to be had");
        let queue = shared.engine.store.clone();
        return tokio::spawn(keep_all(shared, queue));
    }
    tokio::spawn(async move { drop(ended.await) })
}

async fn keep_all(shared: Arc<Shared>, queue: Arc<dyn JobQueue>) {
    tokio::join!(keep(&shared, &*queue), doubt(&shared));
}

/// Heartbeats for all jobs in hand, in one call; at once when somebody has called one
/// off, and soon again when one was not taken.
async fn keep(shared: &Shared, queue: &dyn JobQueue) {
    let term = shared.options.lease;
    let mut hints = shared.engine.bus.subscribe();
    let mut pause = term / 4;
    loop {
        let wake = async { while !matches!(hints.next().await, Hint::Cancel | Hint::Missed) {} };
        tokio::select! {
            biased;
            () = shared.ended.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = wake => {}
        }
        let claims: Vec<Claim> = shared.held().keys().copied().collect();
        pause = match claims.is_empty() || beat(shared, queue, &claims, term).await {
            true => term / 4,
            false => term / 20,
        };
        let give_back = tokio::time::timeout(term / 4, shared.give_back(queue));
        if give_back.await.is_err() {
            tracing::warn!("jobs were not given back in time; trying again");
        }
    }
}

/// Whether it was taken.
async fn beat(shared: &Shared, queue: &dyn JobQueue, claims: &[Claim], term: Duration) -> bool {
    let sent = Instant::now();
    let answer = tokio::time::timeout(term / 4, queue.heartbeat(claims, term)).await;
    let beats = match answer {
        Ok(Ok(beats)) => beats,
        Ok(Err(error)) => {
            shared.engine.trouble.failed(&error);
            tracing::warn!(%error, "a heartbeat was not taken");
            return false;
        }
        Err(_) => {
            shared
                .engine
                .trouble
                .failed(&"a heartbeat was not answered in time");
            tracing::warn!("a heartbeat was not answered in time");
            return false;
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
            Beat::Lost => lose(held),
        }
    }
    true
}

fn lose(held: &Held) {
    if !held.job.lost.is_cancelled() {
        metrics::lease_lost();
    }
    held.job.stop(StopReason::Lost);
}

/// Stops each job whose lease may soon be another's: two thirds of the lease after the
/// last heartbeat that was answered, and at most a twelfth later. By a clock of its own,
/// because a store that hangs holds the heartbeats up.
async fn doubt(shared: &Shared) {
    let term = shared.options.lease;
    loop {
        tokio::select! {
            biased;
            () = shared.ended.cancelled() => return,
            () = tokio::time::sleep(term / 12) => {}
        }
        for held in shared.held().values() {
            if held.alive.elapsed() > term * 2 / 3 {
                lose(held);
            }
        }
    }
}

/// Claims that were let go of without a word from the store, which may believe that this
/// worker still holds them.
#[derive(Default)]
pub(super) struct LetGo(Mutex<HashMap<Claim, Then>>);

/// What becomes of a job that was let go of.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// It goes back to the queue, once the store answers.
    GiveBack,
    /// It stays until its lease has run out: the store cannot do anything with it.
    RunOut,
}

impl LetGo {
    fn lock(&self) -> MutexGuard<'_, HashMap<Claim, Then>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Lets go of a job whose end the store has not taken: it is carried out again.
    pub(super) fn let_go(&self, claim: &Claim, error: &StoreError) {
        tracing::warn!(job = %claim.job, %error, "the end of a job was not recorded");
        let then = match error {
            StoreError::LeaseLost { .. } => Then::GiveBack,
            _ => Then::RunOut,
        };
        self.let_go.lock().insert(*claim, then);
        self.held().remove(claim);
    }

    /// Gives the jobs back that were stopped because the store did not answer. That is not
    /// their fault, and costs no attempt. Nothing comes of it for one that another has.
    pub(super) async fn give_back(&self, queue: &dyn JobQueue) {
        let claims: Vec<Claim> = {
            let let_go = self.let_go.lock();
            let back = let_go.iter().filter(|(_, then)| **then == Then::GiveBack);
            back.map(|(claim, _)| *claim).collect()
        };
        for claim in claims {
            match queue.release(&claim).await {
                Ok(()) => {
                    self.let_go.lock().remove(&claim);
                    self.engine.bus.publish(Hint::Jobs);
                }
                Err(StoreError::LeaseLost { .. }) => drop(self.let_go.lock().remove(&claim)),
                Err(error) if error.retryable() => {
                    return tracing::warn!(%error, "jobs were not given back; trying again");
                }
                Err(_) => drop(self.let_go.lock().insert(claim, Then::RunOut)),
            }
        }
    }

    /// All claims that the store may believe this worker to hold.
    pub(super) fn known(&self) -> HashSet<Claim> {
        let mut known: HashSet<Claim> = self.held().keys().copied().collect();
        known.extend(self.let_go.lock().keys());
        known
    }

    /// The claim by which this worker holds a job.
    pub(super) fn claim_of(&self, job: &Job) -> Claim {
        Claim {
            job: job.id,
            fence: job.fence,
            worker: self.id,
        }
    }
}
