//! Claims jobs, keeps their leases alive, and carries them out.

mod ahead;
mod builder;
mod handover;
mod leases;
mod register;
mod slots;
mod unheard;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::Hint;
use crate::engine::Inner;
use crate::error::Fault;
use crate::job::{Done, JobContext, JobError, RetryPolicy, StopReason};
use crate::model::{Claim, Lease, WorkerId};
use crate::store::{ClaimRequest, JobFault, StoreError};
use crate::value::{JobKind, Label};
use crate::{metrics, retry, scheduler};
use ahead::Ahead;
pub use builder::WorkerBuilder;
use handover::{Finished, Handover};
use leases::LetGo;
use slots::Slots;

impl WorkerBuilder {
    /// Starts it on the present runtime. Where that has several threads, leases are kept
    /// alive by a thread of their own, however busy those are with jobs.
    #[must_use]
    pub fn spawn(mut self) -> Worker {
        let engine = self.engine.inner().clone();
        self.offers
            .extend(engine.executors.keys().map(Label::target));
        let shared = Arc::new(Shared {
            id: WorkerId::new(engine.clock.now(), &*engine.entropy),
            engine,
            options: self,
            held: Mutex::default(),
            let_go: LetGo::default(),
            drain: CancellationToken::new(),
            hurry: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let tasks = [
            tokio::spawn(work(shared.clone())),
            leases::spawn(shared.clone()),
            tokio::spawn(sweep(shared.clone())),
        ];
        Worker { shared, tasks }
    }
}

/// A running worker. Dropping it does not stop it; [`drain`](Self::drain) does.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 3],
}

impl Worker {
    /// Its key, as leases and logs show it.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.shared.id
    }

    /// Takes no more jobs, lets those in hand end, keeps their leases alive meanwhile.
    /// After `patience` they are stopped and handed back to the queue unharmed.
    pub async fn drain(self, patience: Duration) {
        self.drain_until(tokio::time::sleep(patience)).await;
    }

    /// As [`drain`](Self::drain), with a patience that ends when `enough` does.
    pub async fn drain_until(self, enough: impl Future<Output = ()>) {
        self.shared.drain.cancel();
        let [mut work, others @ ..] = self.tasks;
        let in_hand = tokio::select! {
            biased;
            _ = &mut work => false,
            () = enough => true,
        };
        if in_hand {
            self.shared.hurry.cancel();
            self.shared.stop_all(StopReason::Shutdown);
            let _ = work.await;
        }
        self.shared.ended.cancel();
        for task in others {
            let _ = task.await;
        }
    }
}

struct Shared {
    id: WorkerId,
    engine: Arc<Inner>,
    options: WorkerBuilder,
    held: Mutex<HashMap<Claim, Held>>,
    let_go: LetGo,
    /// No job is taken any more.
    drain: CancellationToken,
    /// Nor is one gone on with.
    hurry: CancellationToken,
    ended: CancellationToken,
}

/// A job in hand.
struct Held {
    job: JobContext,
    /// When the last heartbeat that was answered (or the claim) was sent.
    alive: Instant,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Claim, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes jobs in hand that a call which was `sent` then has brought.
    fn hold(&self, leases: Vec<Lease>, sent: Instant) -> Vec<(Lease, JobContext)> {
        let mut held = self.held();
        let hold = |lease: Lease| {
            let job = JobContext::new(lease.claim);
            // Claimed while everybody else was being stopped.
            if self.hurry.is_cancelled() {
                job.stop(StopReason::Shutdown);
            }
            let ctx = job.clone();
            held.insert(lease.claim, Held { job, alive: sent });
            (lease, ctx)
        };
        leases.into_iter().map(hold).collect()
    }

    fn is_short(&self, kind: &JobKind) -> bool {
        let handler = self.engine.handlers.get(kind);
        handler.is_some_and(|handler| handler.short())
    }

    fn stop_all(&self, reason: StopReason) {
        for held in self.held().values() {
            held.job.stop(reason);
        }
    }
}

/// Hands in what is done and claims while there is room, one call after the other; jobs are
/// begun and end meanwhile. When there is nothing to say, waits for a hint, for a job to end,
/// or for the poll.
async fn work(shared: Arc<Shared>) {
    // Its jobs end with it, also where its runtime does: then nobody keeps their leases.
    let _ended = shared.ended.clone().drop_guard();
    let options = &shared.options;
    let mut hints = shared.engine.bus.subscribe();
    let mut slots = Slots::default();
    let mut ahead = Ahead::new(&shared);
    let mut handover = Handover::default();
    // At most two, and one only if it is not for short jobs.
    let mut calls = FuturesUnordered::new();
    // Whether there may be jobs that were not asked for; whether anything has happened since
    // the last call.
    let (mut due, mut stirred) = (true, true);
    if options.alone {
        take_over(&shared).await;
    }
    loop {
        while let Some(ended) = slots.try_ended() {
            handover.add(ended);
            due |= ahead.is_empty();
        }
        let draining = shared.drain.is_cancelled();
        // No call may be on its way, which would not go on meanwhile.
        let stale = ahead.patience(options.lease) == Some(Duration::ZERO);
        if calls.is_empty() && (draining || stale) {
            ahead.hand_back(&shared).await;
        }
        while slots.taken() < options.concurrency
            && let Some((lease, ctx)) = ahead.jobs().next(&shared)
        {
            slots.begin(&shared, lease, ctx, ahead.jobs());
        }
        ahead.look();
        let mut nap = options.poll;
        // After a failure, only when something has happened.
        if calls.len() < 2 && (stirred || handover.is_well()) {
            let alone = calls.is_empty();
            let free = options.concurrency - slots.taken();
            if alone {
                let sent = Instant::now();
                let found = handover.find(&shared, free).await;
                for (lease, ctx) in shared.hold(found, sent) {
                    slots.begin(&shared, lease, ctx, ahead.jobs());
                }
            }
            let free = options.concurrency - slots.taken();
            let for_slots = (alone && free > 0).then_some((Ask::ForSlots, free));
            let room = ahead.room().filter(|_| slots.long() < options.concurrency);
            let next = room.map(|room| (Ask::Ahead, room)).or(for_slots);
            let next = next.filter(|_| due && !draining && handover.may_claim());
            let request = next.map(|(ask, limit)| request(&shared, ask, limit));
            let more_to_come = next.is_none() && !ahead.is_empty();
            let wait = handover.patience().filter(|_| more_to_come);
            if next.is_none() && !alone {
                // Its answer comes soon enough.
            } else if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                nap = nap.min(wait);
            } else if let Some(call) = handover.call(&shared, request) {
                stirred = false;
                due &= next.is_none();
                if let Some((Ask::Ahead, room)) = next {
                    ahead.ask(room);
                    due = true;
                }
                let sent = Instant::now();
                let shared = &shared;
                calls.push(async move { (next, sent, call.make(shared).await) });
            } else if draining && slots.taken() == 0 {
                return handover.leave(&shared).await;
            }
        }
        if calls.is_empty() {
            nap = nap.min(handover.wait());
            if let Some(patience) = ahead.patience(options.lease) {
                nap = nap.min(patience);
            }
        }
        // In order, here and elsewhere, so that a test is the same each time.
        tokio::select! {
            biased;
            () = shared.drain.cancelled(), if !draining => {}
            Some((next, sent, answer)) = calls.next() => {
                if let Some((Ask::Ahead, room)) = next {
                    ahead.answered(room);
                }
                let leases = handover.answered(&shared, answer, sent);
                let (Some((ask, limit)), Some(leases)) = (next, leases) else {
                    due |= next.is_some();
                    continue;
                };
                // There may be others where as many came as were asked for.
                let full = leases.len() == limit as usize;
                due |= full;
                let jobs = shared.hold(leases, sent);
                match ask {
                    Ask::ForSlots => {
                        ahead.asked(full);
                        for (lease, ctx) in jobs {
                            slots.begin(&shared, lease, ctx, ahead.jobs());
                        }
                    }
                    Ask::Ahead => {
                        // Of other kinds there may be some.
                        due = true;
                        ahead.fill(jobs, full);
                    }
                }
            }
            () = wait_for_jobs(&mut hints), if !draining => due = true,
            Some(ended) = slots.ended() => {
                handover.add(ended);
                due |= ahead.is_empty();
            }
            () = tokio::time::sleep(nap) => due = true,
        }
        stirred = true;
    }
}

/// What jobs are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Those that can be begun at once, of all kinds.
    ForSlots,
    /// Short ones, to be begun later.
    Ahead,
}

/// Ends the claims of those who are gone, before any claim is made here.
async fn take_over(shared: &Shared) {
    let mut pause = None;
    while !shared.drain.is_cancelled() {
        match scheduler::sweep(&shared.engine, None).await {
            Ok(sweep) if scheduler::left_some(&sweep) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "the jobs of a worker that is gone were not taken over; trying again");
                let wait = retry::longer(pause);
                tokio::select! {
                    biased;
                    () = shared.drain.cancelled() => {}
                    () = tokio::time::sleep(wait) => pause = Some(wait),
                }
            }
        }
    }
}

async fn wait_for_jobs(hints: &mut crate::bus::Hints) {
    while !matches!(hints.next().await, Hint::Jobs | Hint::Missed) {}
}

fn request(shared: &Shared, ask: Ask, limit: u32) -> ClaimRequest {
    let handlers = shared.engine.handlers.iter();
    let asked = handlers.filter(|(_, handler)| ask == Ask::ForSlots || handler.short());
    ClaimRequest {
        worker: shared.id,
        kinds: asked.map(|(kind, _)| kind.clone()).collect(),
        offers: shared.options.offers.clone(),
        limit,
        term: shared.options.lease,
    }
}

/// Carries a job out. One that its handler has completed is given back, to be handed in.
async fn carry_out(shared: &Shared, lease: Lease, ctx: JobContext) -> Option<Finished> {
    let engine = &shared.engine;
    metrics::job_claimed(&lease);
    let began = Instant::now();
    let ended = match engine.handlers.get(&lease.job.kind) {
        Some(handler) => AssertUnwindSafe(handler.run(&lease.job, &ctx))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                Err(Fault::retryable(
                    "carrying out",
                    lease.job.id,
                    "the handler panicked; see the host's log",
                )
                .into())
            }),
        None => {
            Err(Fault::permanent("carrying out", lease.job.id, "no handler for its kind").into())
        }
    };
    metrics::job_ended(&lease, &ended, began.elapsed());
    let recorded = match ended {
        Ok(Done::Completed) => {
            return Some(Finished {
                claim: lease.claim,
                keyed: !lease.job.limits.is_empty(),
                lost: ctx.lost,
            });
        }
        Ok(Done::Recorded) => Ok(()),
        Err(error) => record(shared, &lease, &ctx, error).await,
    };
    match recorded {
        Ok(()) => drop(shared.held().remove(&lease.claim)),
        Err(error) => shared.let_go(&lease.claim, &error),
    }
    engine.bus.publish(Hint::Jobs);
    None
}

/// Writes down that a job could not be carried out, or was stopped.
async fn record(
    shared: &Shared,
    lease: &Lease,
    ctx: &JobContext,
    error: JobError,
) -> Result<(), StoreError> {
    let (store, claim, job) = (&shared.engine.store, &lease.claim, lease.job.id);
    let handler = shared.engine.handlers.get(&lease.job.kind);
    let policy = handler.map_or_else(RetryPolicy::default, |handler| handler.retry());
    let backoff = || policy.backoff(lease.job.attempt, &*shared.engine.entropy);
    let fault = match error {
        JobError::Fault(fault) => {
            tracing::warn!(%job, error = %fault, attempt = lease.job.attempt, "a job could not be carried out");
            JobFault {
                error: fault.to_string(),
                retry_after: fault.retryable.then(backoff),
            }
        }
        JobError::Stopped => match ctx.stop_reason() {
            Some(StopReason::Lost) => return Err(StoreError::LeaseLost { job }),
            Some(StopReason::Shutdown) => {
                return retry::until_stored(&ctx.lost, job, || store.release(claim)).await;
            }
            // The store sees that it was called off, and makes it cancelled.
            Some(StopReason::Cancel) => JobFault {
                error: "called off".into(),
                retry_after: None,
            },
            // Handed back as if unharmed, it would come again at once, for ever.
            None => JobFault {
                error: "its handler stopped without having been told to".into(),
                retry_after: Some(backoff()),
            },
        },
    };
    let failed = retry::until_stored(&ctx.lost, job, || store.fail(claim, fault.clone()));
    failed.await.map(drop)
}

async fn sweep(shared: Arc<Shared>) {
    let options = &shared.options;
    let scheduler = scheduler::run(&shared.engine, options.sweep, options.lease, &shared.ended);
    let retention = scheduler::tidy_up(&shared.engine, options.retention.as_ref(), &shared.ended);
    tokio::join!(scheduler, retention, register::keep(&shared));
}
