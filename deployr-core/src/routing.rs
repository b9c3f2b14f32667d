//! Telling the ingress at which domains a project is served, and bringing up what a restart
//! could not: the handler of jobs of kind `route`. Such a job shares the key of the project's
//! deployments, so that it comes between no two steps of theirs.

use std::sync::Weak;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::engine::{Inner, redacted};
use crate::error::{Fault, StepError};
use crate::ingress::Route;
use crate::job::{Done, JobContext, JobError, JobHandler};
use crate::model::{Job, JobId, Labels, Limit, ProjectId, ReleaseState};
use crate::store::{LiveRelease, NewJob, StoreError, StoreResult};
use crate::value::{
    ConcurrencyKey, CustomDomain, InvalidValue, JobKind, Label, Slug, TargetName, TenantId,
};

pub(crate) struct RouteHandler(pub(crate) Weak<Inner>);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RouteInput {
    pub(crate) tenant: TenantId,
    pub(crate) project: ProjectId,
    /// Whether the live release is brought up; else the ingress is told of domains only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) bring_up: bool,
}

#[async_trait]
impl JobHandler for RouteHandler {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let engine = self.0.upgrade().ok_or(JobError::Stopped)?;
        let input: RouteInput = serde_json::from_value(job.input.clone()).map_err(|error| {
            Fault::permanent("reading", format!("the input of job {}", job.id), error)
        })?;
        // Whatever it is in, it is dropped there, and made again by the next attempt.
        let told = tokio::select! {
            biased;
            () = ctx.stop.cancelled() => return Err(JobError::Stopped),
            told = engine.tell_domains(&input) => told,
        };
        told.map(|()| Done::Completed)
            .map_err(|error| JobError::of_step("routing", input.project, error))
    }
}

impl Inner {
    /// Where nothing is routed, the next deployment or restart brings the domains with it.
    async fn tell_domains(&self, input: &RouteInput) -> Result<(), StepError> {
        let read = |error| Fault::retryable("reading", input.project, error);
        let project = match self.store.project(&input.tenant, input.project).await {
            Err(StoreError::NotFound { .. }) => return Ok(()), // removed since
            Ok(project) if project.removal.is_some() => return Ok(()),
            found => found.map_err(read)?,
        };
        let redactor = self.redactor_for(&project).await.map_err(read)?;
        let told = self.tell(input, project.slug).await;
        told.map_err(|error| redacted(error, &redactor))
    }

    async fn tell(&self, input: &RouteInput, slug: Slug) -> Result<(), StepError> {
        if input.bring_up {
            return self.bring_up_live(input, slug).await;
        }
        let Some(ingress) = &self.ingress else {
            return Ok(());
        };
        let domains = self.verified_domains(&input.tenant, input.project).await;
        let domains = domains.map_err(|error| Fault::retryable("reading", input.project, error))?;
        let mut routes = ingress.routes().await?.into_iter();
        match routes.find(|route| route.slug == slug) {
            Some(present) => ingress.route(Route { domains, ..present }).await,
            None => Ok(()),
        }
    }

    /// Brings up what is live of a project, also where the ingress has a route to it.
    async fn bring_up_live(&self, input: &RouteInput, slug: Slug) -> Result<(), StepError> {
        let read = |error| Fault::retryable("reading", input.project, error);
        let releases = self.store.releases_on_target(&input.tenant, input.project);
        let mut releases = releases.await.map_err(read)?.into_iter();
        match releases.find(|release| release.state == ReleaseState::Live) {
            Some(release) => self.bring_up(&LiveRelease { release, slug }).await,
            None => Ok(()),
        }
    }

    /// A job that needs a worker with the target, and comes between no two steps of a deployment.
    pub(crate) fn route_job(
        &self,
        input: &RouteInput,
        target: &TargetName,
    ) -> Result<NewJob, InvalidValue> {
        Ok(NewJob {
            needs: Labels::from([Label::target(target)]),
            limits: vec![Limit::one(ConcurrencyKey::parse(
                input.project.to_string(),
            )?)],
            ..NewJob::new(
                JobId::new(self.clock.now(), &*self.entropy),
                JobKind::parse("route")?,
                serde_json::json!(input),
            )
        })
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
