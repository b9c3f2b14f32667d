//! How a deployment is carried out. [`run`] is the whole of it, from top to bottom;
//! [`live`] is how a release takes over, and how that is taken back.
//!
//! Every step may be cut off at any point by the death of the process. The next
//! attempt goes on behind the switch where that had been made; else it begins again
//! with a folder and a release of its own. Whoever has begun a deployment ends it: only
//! a worker can put the target in order, so a wish to cancel and the last attempt are
//! left to one, too.

mod attempt;
mod live;
mod plan;
mod run;

use std::sync::Weak;

use async_trait::async_trait;

use crate::engine::Inner;
use crate::error::{Fault, StepError};
use crate::job::{Done, JobContext, JobError, JobHandler};
use crate::model::{DeploymentId, Job};
use crate::store::StoreError;
use crate::value::TenantId;

/// The handler of jobs of kind `deploy`.
pub(crate) struct DeployHandler(pub(crate) Weak<Inner>);

/// What a `deploy` or a `notify` job is told.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct DeploymentInput {
    pub(crate) tenant: TenantId,
    pub(crate) deployment: DeploymentId,
}

#[async_trait]
impl JobHandler for DeployHandler {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let engine = self.0.upgrade().ok_or(JobError::Stopped)?;
        let input: DeploymentInput =
            serde_json::from_value(job.input.clone()).map_err(|error| {
                Fault::permanent("reading", format!("the input of job {}", job.id), error)
            })?;
        attempt::attempt(&engine, &input, job, ctx).await
    }
}

fn store_fault(error: StoreError) -> Fault {
    let fault = if error.retryable() {
        Fault::retryable("a read or write", "the store", &error)
    } else {
        Fault::permanent("a read or write", "the store", &error)
    };
    fault.because(error)
}

fn step_fault(error: StoreError) -> StepError {
    StepError::Fault(store_fault(error))
}

fn job_fault(error: StoreError) -> JobError {
    match error {
        StoreError::LeaseLost { .. } => JobError::Stopped,
        error => store_fault(error).into(),
    }
}
