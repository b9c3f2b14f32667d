//! Claims jobs, keeps their leases alive, and carries them out.

mod handover;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::Hint;
use crate::engine::{Engine, Inner};
use crate::error::Fault;
use crate::job::{Done, JobContext, JobError, StopReason};
use crate::model::{Claim, Lease, WorkerId};
use crate::store::{Beat, ClaimRequest, JobFault, StoreError};
use crate::{retry, scheduler};
use handover::{Finished, Handover};

/// How a worker works. See [`Engine::worker`].
#[derive(Debug, Clone)]
pub struct WorkerBuilder {
    engine: Engine,
    concurrency: u32,
    lease: Duration,
    poll: Duration,
    sweep: Duration,
}

impl Engine {
    /// A worker that carries out this engine's jobs in this process, with a scheduler
    /// beside it.
    ///
    /// ```no_run
    /// # async fn example(engine: deployr_core::engine::Engine) {
    /// let worker = engine.worker().concurrency(4).spawn();
    /// // ... until the process is asked to end:
    /// worker.drain(std::time::Duration::from_secs(60)).await;
    /// # }
    /// ```
    #[must_use]
    pub fn worker(&self) -> WorkerBuilder {
        WorkerBuilder {
            engine: self.clone(),
            concurrency: 2,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            sweep: Duration::from_secs(1),
        }
    }
}

impl WorkerBuilder {
    /// How many jobs at a time. At least 1; 2 where not set.
    #[must_use]
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.concurrency = jobs.max(1);
        self
    }

    /// How long a claim holds without a heartbeat; they come four times as often. A lost
    /// worker's job is taken up again after this long. 60 s where not set; at least 1 s.
    #[must_use]
    pub fn lease(mut self, term: Duration) -> Self {
        self.lease = term.max(Duration::from_secs(1));
        self
    }

    /// How often the store is asked for work that no hint has told of. 1 s where not set.
    #[must_use]
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = every.max(Duration::from_millis(1));
        self
    }

    /// How often the scheduler sweeps. 1 s where not set.
    #[must_use]
    pub fn sweep(mut self, every: Duration) -> Self {
        self.sweep = every.max(Duration::from_millis(1));
        self
    }

    /// Starts it on the present runtime.
    #[must_use]
    pub fn spawn(self) -> Worker {
        let engine = self.engine.inner().clone();
        let shared = Arc::new(Shared {
            id: WorkerId::new(engine.clock.now(), &*engine.entropy),
            engine,
            options: self,
            held: Mutex::default(),
            drain: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let tasks = [
            tokio::spawn(work(shared.clone())),
            tokio::spawn(keep_leases(shared.clone())),
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
        self.shared.drain.cancel();
        let [work, beats, sweeps] = self.tasks;
        let mut work = work;
        if tokio::time::timeout(patience, &mut work).await.is_err() {
            self.shared.stop_all(StopReason::Shutdown);
            let _ = work.await;
        }
        self.shared.ended.cancel();
        let _ = beats.await;
        let _ = sweeps.await;
    }
}

struct Shared {
    id: WorkerId,
    engine: Arc<Inner>,
    options: WorkerBuilder,
    held: Mutex<HashMap<Claim, Held>>,
    drain: CancellationToken,
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

    fn stop_all(&self, reason: StopReason) {
        for held in self.held().values() {
            held.job.stop(reason);
        }
    }
}

/// Hands in what is done and claims while there is room; else, or when there is nothing,
/// waits for a hint, for a job to end, or for the poll.
async fn work(shared: Arc<Shared>) {
    let mut hints = shared.engine.bus.subscribe();
    let mut running = JoinSet::new();
    let mut handover = Handover::default();
    loop {
        while let Some(ended) = running.try_join_next() {
            handover.add(ended.ok().flatten());
        }
        let draining = shared.drain.is_cancelled();
        if draining && running.is_empty() && handover.is_empty() {
            return;
        }
        let room = match draining {
            true => 0,
            false => shared.options.concurrency - running.len() as u32,
        };
        let sent = Instant::now();
        let leases = handover.exchange(&shared, room).await;
        let full = !leases.is_empty() && leases.len() == room as usize;
        for lease in leases {
            running.spawn(carry_out(shared.clone(), lease, sent));
        }
        // A claim that came back full may have left others behind.
        if full {
            continue;
        }
        // In order, here and elsewhere, so that a test is the same each time.
        tokio::select! {
            biased;
            () = shared.drain.cancelled(), if !draining => {}
            () = wait_for_jobs(&mut hints), if room > 0 => {}
            Some(ended) = running.join_next(), if !running.is_empty() => {
                handover.add(ended.ok().flatten());
            }
            () = tokio::time::sleep(handover.pause().unwrap_or(shared.options.poll)) => {}
        }
    }
}

async fn wait_for_jobs(hints: &mut crate::bus::Hints) {
    while !matches!(hints.next().await, Hint::Jobs | Hint::Missed) {}
}

fn request(shared: &Shared, limit: u32) -> ClaimRequest {
    ClaimRequest {
        worker: shared.id,
        kinds: shared.engine.handlers.keys().cloned().collect(),
        limit,
        term: shared.options.lease,
    }
}

/// Carries a job out. One that its handler has completed is given back, to be handed in.
async fn carry_out(shared: Arc<Shared>, lease: Lease, sent: Instant) -> Option<Finished> {
    let engine = &shared.engine;
    let ctx = JobContext::new(lease.claim);
    shared.held().insert(
        lease.claim,
        Held {
            job: ctx.clone(),
            alive: sent,
        },
    );
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
    let recorded = match ended {
        Ok(Done::Completed) => {
            return Some(Finished {
                claim: lease.claim,
                keyed: lease.job.concurrency_key.is_some(),
                lost: ctx.lost,
            });
        }
        Ok(Done::Recorded) => Ok(()),
        Err(error) => record(&shared, &lease, &ctx, error).await,
    };
    if let Err(error) = recorded {
        tracing::warn!(job = %lease.job.id, %error, "the end of a job was not recorded");
    }
    shared.held().remove(&lease.claim);
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
    match error {
        JobError::Fault(fault) => {
            tracing::warn!(%job, error = %fault, attempt = lease.job.attempt, "a job could not be carried out");
            let entropy = &*shared.engine.entropy;
            let fault = JobFault {
                error: fault.to_string(),
                retry_after: fault
                    .retryable
                    .then(|| retry::backoff(lease.job.attempt, entropy)),
            };
            retry::until_stored(&ctx.lost, job, || store.fail(claim, fault.clone()))
                .await
                .map(drop)
        }
        JobError::Stopped => match ctx.stop_reason() {
            Some(StopReason::Lost) => Ok(()),
            // The store sees that it was called off, and makes it cancelled.
            Some(StopReason::Cancel) => {
                let fault = JobFault {
                    error: "called off".into(),
                    retry_after: None,
                };
                retry::until_stored(&ctx.lost, job, || store.fail(claim, fault.clone()))
                    .await
                    .map(drop)
            }
            Some(StopReason::Shutdown) | None => {
                retry::until_stored(&ctx.lost, job, || store.release(claim)).await
            }
        },
    }
}

/// Heartbeats for all jobs in hand, in one call; at once when somebody has called one
/// off. A job whose lease may soon belong to another is stopped well before.
async fn keep_leases(shared: Arc<Shared>) {
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
        for held in shared.held().values() {
            if held.alive.elapsed() > term * 2 / 3 {
                held.job.stop(StopReason::Lost);
            }
        }
    }
}

async fn beat(shared: &Shared, claims: &[Claim], term: Duration) {
    let sent = Instant::now();
    let answer = tokio::time::timeout(term / 4, shared.engine.store.heartbeat(claims, term)).await;
    let beats = match answer {
        Ok(Ok(beats)) => beats,
        Ok(Err(error)) => return tracing::warn!(%error, "a heartbeat was not taken"),
        Err(_) => return tracing::warn!("a heartbeat was not answered in time"),
    };
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

async fn sweep(shared: Arc<Shared>) {
    // Grace: a sweep must not be quicker than a heartbeat that is on its way.
    let grace = shared.options.lease / 10;
    scheduler::run(&shared.engine, shared.options.sweep, grace, &shared.ended).await;
}
