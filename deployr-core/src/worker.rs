//! Claims jobs, keeps their leases alive, and carries them out.

mod ahead;
mod builder;
mod carrying_out;
mod claiming;
mod handover;
mod leases;
mod register;
mod slots;
mod unheard;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Inner;
use crate::job::{JobContext, StopReason};
use crate::model::{Claim, Lease, WorkerId};
use crate::scheduler;
use crate::value::{JobKind, Label};
pub use builder::WorkerBuilder;
use leases::LetGo;

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
            tokio::spawn(claiming::run(shared.clone())),
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

async fn sweep(shared: Arc<Shared>) {
    let options = &shared.options;
    let scheduler = scheduler::run(&shared.engine, options.sweep, options.lease, &shared.ended);
    let retention = scheduler::tidy_up(&shared.engine, options.retention.as_ref(), &shared.ended);
    tokio::join!(scheduler, retention, register::keep(&shared));
}
