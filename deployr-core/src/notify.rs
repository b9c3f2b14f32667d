//! Telling of a deployment's end: the handler of jobs of kind `notify`.

use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::engine::Inner;
use crate::error::Fault;
use crate::job::{Done, JobContext, JobError, JobHandler};
use crate::metrics;
use crate::model::Job;
use crate::notifier::Notice;
use crate::pipeline::DeploymentInput;
use crate::store::StoreError;

/// How long one notifier is waited for; told in [`Notifier`](crate::notifier::Notifier).
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct NotifyHandler(pub(crate) Weak<Inner>);

#[async_trait]
impl JobHandler for NotifyHandler {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let engine = self.0.upgrade().ok_or(JobError::Stopped)?;
        let input: DeploymentInput =
            serde_json::from_value(job.input.clone()).map_err(|error| {
                Fault::permanent("reading", format!("the input of job {}", job.id), error)
            })?;
        let read = |error: StoreError| Fault::retryable("reading", input.deployment, error);
        let found = engine.store.deployment(&input.tenant, input.deployment);
        let deployment = match found.await {
            // Its project was removed since: nobody asks any more.
            Err(StoreError::NotFound { .. }) => return Ok(Done::Completed),
            found => found.map_err(read)?,
        };
        let stages = engine.store.stages(&input.tenant, input.deployment).await;
        metrics::deployment_over(&deployment, &stages.map_err(read)?);
        if engine.notifiers.is_empty() {
            return Ok(Done::Completed);
        }
        let project = engine
            .store
            .project(&input.tenant, deployment.project)
            .await
            .map_err(read)?;
        let url = engine
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.url(&project.slug));
        let notice = Notice {
            project,
            deployment,
            url,
        };
        // One that fails must not keep the others from telling; the next attempt tells all again.
        let mut failed = None;
        for notifier in &engine.notifiers {
            let told = tokio::select! {
                biased;
                told = timeout(PATIENCE, notifier.notify(&notice)) => told,
                () = ctx.stop.cancelled() => return Err(JobError::Stopped),
            };
            let told = told.unwrap_or_else(|_| {
                let reason = format!("it had not ended after {} s", PATIENCE.as_secs());
                Err(Fault::retryable("telling", notifier.name(), reason))
            });
            if let Err(fault) = told {
                tracing::warn!(notifier = notifier.name(), deployment = %input.deployment, error = %fault, "a notice was not delivered");
                failed = Some(fault);
            }
        }
        failed.map_or(Ok(Done::Completed), |fault| Err(fault.into()))
    }
}
