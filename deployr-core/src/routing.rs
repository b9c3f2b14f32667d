//! Telling the ingress at which domains a project is served: the handler of jobs of kind
//! `route`. Such a job shares the key of the project's deployments, so that it comes between
//! no two steps of theirs.

use std::sync::Weak;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::engine::Inner;
use crate::error::{Fault, StepError};
use crate::ingress::Route;
use crate::job::{Done, JobContext, JobError, JobHandler};
use crate::model::{Job, ProjectId};
use crate::store::{StoreError, StoreResult};
use crate::value::{CustomDomain, TenantId};

pub(crate) struct RouteHandler(pub(crate) Weak<Inner>);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RouteInput {
    pub(crate) tenant: TenantId,
    pub(crate) project: ProjectId,
}

#[async_trait]
impl JobHandler for RouteHandler {
    async fn run(&self, job: &Job, _: &JobContext) -> Result<Done, JobError> {
        let engine = self.0.upgrade().ok_or(JobError::Stopped)?;
        let input: RouteInput = serde_json::from_value(job.input.clone()).map_err(|error| {
            Fault::permanent("reading", format!("the input of job {}", job.id), error)
        })?;
        let told = engine.tell_domains(&input).await;
        told.map(|()| Done::Completed).map_err(|error| match error {
            StepError::Fault(fault) => fault.into(),
            StepError::Verdict(verdict) => {
                Fault::permanent("routing", input.project, verdict).into()
            }
            StepError::Stopped => JobError::Stopped,
        })
    }
}

impl Inner {
    /// Where nothing is routed, the next deployment or restart brings the domains with it.
    async fn tell_domains(&self, input: &RouteInput) -> Result<(), StepError> {
        let Some(ingress) = &self.ingress else {
            return Ok(());
        };
        let read = |error| Fault::retryable("reading", input.project, error);
        let slug = match self.store.project(&input.tenant, input.project).await {
            Err(StoreError::NotFound { .. }) => return Ok(()), // removed since
            found => found.map_err(read)?.slug,
        };
        let domains = self.verified_domains(&input.tenant, input.project).await;
        let domains = domains.map_err(read)?;
        let routes = ingress.routes().await?;
        let Some(present) = routes.into_iter().find(|route| route.slug == slug) else {
            return Ok(());
        };
        ingress.route(Route { domains, ..present }).await
    }

    /// The domains at which a project is served.
    pub(crate) async fn verified_domains(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<CustomDomain>> {
        let domains = self.store.domains(tenant, project).await?;
        let verified = domains.into_iter().filter(|one| one.verified_at.is_some());
        Ok(verified.map(|one| one.domain).collect())
    }
}
