//! One job: its handler, and what is written down of how it ended.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::time::Instant;

use super::Shared;
use super::handover::Finished;
use crate::bus::Hint;
use crate::error::Fault;
use crate::job::{Done, JobContext, JobError, RetryPolicy, StopReason};
use crate::model::Lease;
use crate::store::{JobFault, StoreError};
use crate::{metrics, retry};

/// Carries a job out. One that its handler has completed is given back, to be handed in.
pub(super) async fn carry_out(shared: &Shared, lease: Lease, ctx: JobContext) -> Option<Finished> {
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
    let trouble = &shared.engine.trouble;
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
                return retry::until_stored(&ctx.lost, trouble, job, || store.release(claim)).await;
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
    let failed = retry::until_stored(&ctx.lost, trouble, job, || store.fail(claim, fault.clone()));
    failed.await.map(drop)
}
