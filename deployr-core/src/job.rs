//! What carries out a job of some kind. `deploy` and `notify` are the engine's own;
//! an embedding app adds its kinds beside them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::{Fault, StepError};
use crate::model::{Claim, Job};
pub use crate::retry::RetryPolicy;

/// Carries out jobs of one kind.
///
/// [`run`](Self::run) may be called for different jobs at the same time, and again for
/// the same job after a fault, a lost lease or a crash: it must do no harm twice.
///
/// ```
/// use async_trait::async_trait;
/// use deployr_core::job::{Done, JobContext, JobError, JobHandler};
/// use deployr_core::model::Job;
///
/// struct SayHello;
///
/// #[async_trait]
/// impl JobHandler for SayHello {
///     async fn run(&self, job: &Job, _ctx: &JobContext) -> Result<Done, JobError> {
///         println!("hello {}", job.input["name"]);
///         Ok(Done::Completed)
///     }
/// }
/// ```
#[async_trait]
pub trait JobHandler: Send + Sync {
    /// Does the work. Watches `ctx.stop`, and once it is cancelled, stops all that it
    /// has started and returns [`JobError::Stopped`].
    ///
    /// # Errors
    ///
    /// A fault: the job is tried again where that can help and attempts are left.
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError>;

    /// How long [`run`](Self::run) may take; an hour where not said. Then `ctx.stop` is
    /// cancelled, and what has not ended 10 s later is dropped: the job has failed with a
    /// fault that may be tried again.
    fn deadline(&self) -> Duration {
        Duration::from_secs(60 * 60)
    }

    /// How long a job of this kind waits after an attempt that had a fault.
    fn retry(&self) -> RetryPolicy {
        RetryPolicy::default()
    }

    /// Whether its jobs take milliseconds, and wait for nobody; no where not said. A worker
    /// claims short jobs ahead of its free slots
    /// ([`WorkerBuilder::ahead`](crate::worker::WorkerBuilder::ahead)) and begins them one
    /// after the other, so that the store is asked once for hundreds of them.
    ///
    /// What is claimed ahead is held back from other workers: the worker claims only as
    /// much as it can begin at once by what it has seen, and hands back what has waited for
    /// a quarter of its lease.
    fn short(&self) -> bool {
        false
    }
}

/// Holds a handler to its deadline, so that one that hangs does not keep its place in the
/// worker for ever.
pub(crate) struct Limited(pub(crate) Arc<dyn JobHandler>);

#[async_trait]
impl JobHandler for Limited {
    fn retry(&self) -> RetryPolicy {
        self.0.retry()
    }

    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let limit = self.0.deadline();
        let mut run = self.0.run(job, ctx);
        if let Ok(ended) = timeout(limit, &mut run).await {
            return ended;
        }
        ctx.stop.cancel();
        if let Ok(Ok(done)) = timeout(STOP_GRACE, run).await {
            return Ok(done);
        }
        let reason = format!("it had not ended after {} s, its deadline", limit.as_secs());
        Err(Fault::retryable("carrying out", job.id, reason).into())
    }

    fn short(&self) -> bool {
        self.0.short()
    }
}

/// For a handler to stop what it has started.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How a handler's work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The worker shall complete the job.
    Completed,
    /// The handler has ended the job itself, in one transaction with its own rows.
    Recorded,
}

/// Why a handler's work did not end.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The machinery failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It was told to stop, and has.
    #[error("stopped on request")]
    Stopped,
}

impl JobError {
    /// Of a step of a job that ends with no verdict: one is a fault that stays.
    pub(crate) fn of_step(
        operation: &'static str,
        subject: impl fmt::Display,
        error: StepError,
    ) -> Self {
        match error {
            StepError::Fault(fault) => fault.into(),
            StepError::Verdict(verdict) => Fault::permanent(operation, subject, verdict).into(),
            StepError::Stopped => Self::Stopped,
        }
    }
}

/// Why a job shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody called it off.
    Cancel,
    /// The worker is shutting down: the job goes back to the queue.
    Shutdown,
    /// The lease is gone: somebody else may have the job, nothing may be written.
    Lost,
}

/// Handed to a [`JobHandler`] with each job.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// What to name in every write.
    pub claim: Claim,
    /// Cancelled when the work shall stop, for whichever reason.
    pub stop: CancellationToken,
    /// Cancelled when the lease is gone.
    pub lost: CancellationToken,
    /// Cancelled before `stop` where nobody called the job off: another attempt goes on.
    pub handed_over: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl JobContext {
    /// The context of a job that was just claimed.
    #[must_use]
    pub fn new(claim: Claim) -> Self {
        Self {
            claim,
            stop: CancellationToken::new(),
            lost: CancellationToken::new(),
            handed_over: CancellationToken::new(),
            reason: Arc::default(),
        }
    }

    /// Tells the work to stop. The first reason stays, save that a lost lease also
    /// ends all writing.
    pub fn stop(&self, reason: StopReason) {
        if self.reason.set(reason).is_ok() && reason != StopReason::Cancel {
            self.handed_over.cancel();
        }
        if reason == StopReason::Lost {
            self.lost.cancel();
        }
        self.stop.cancel();
    }

    /// Why the work shall stop; none while it may go on.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        if self.lost.is_cancelled() {
            return Some(StopReason::Lost);
        }
        self.reason.get().copied()
    }
}
