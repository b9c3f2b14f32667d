//! Telling the ingress at which domains a project is served, and bringing up what a restart
//! could not: the handler of jobs of kind `route`. Such a job shares the key of the project's deployments, so that it comes between
//! no two steps of theirs.

use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::bus::Hint;
use crate::engine::{EngineError, Inner};
use crate::error::{Fault, StepError};
use crate::ingress::Route;
use crate::job::{Done, JobContext, JobError, JobHandler};
use crate::model::{Job, JobId, Labels, Limit, ProjectId, ReleaseState};
use crate::store::{Due, LiveRelease, NewJob, StoreError, StoreResult};
use crate::value::{
    ConcurrencyKey, CustomDomain, InvalidValue, JobKind, Label, Slug, TargetName, TenantId,
};

pub(crate) struct RouteHandler(pub(crate) Weak<Inner>);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RouteInput {
    pub(crate) tenant: TenantId,
    pub(crate) project: ProjectId,
    /// Whether a release that is not routed shall be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) bring_up: bool,
}

/// How often it is tried to bring up a release whose target is away.
const AGAIN: Duration = Duration::from_secs(2);

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
        if self.ingress.is_none() && !input.bring_up {
            return Ok(());
        }
        let read = |error| Fault::retryable("reading", input.project, error);
        let slug = match self.store.project(&input.tenant, input.project).await {
            Err(StoreError::NotFound { .. }) => return Ok(()), // removed since
            Ok(project) if project.removal.is_some() => return Ok(()),
            found => found.map_err(read)?.slug,
        };
        let domains = self.verified_domains(&input.tenant, input.project).await;
        let domains = domains.map_err(read)?;
        if let Some(ingress) = &self.ingress {
            let mut routes = ingress.routes().await?.into_iter();
            if let Some(present) = routes.find(|route| route.slug == slug) {
                return ingress.route(Route { domains, ..present }).await;
            }
        }
        match input.bring_up {
            true => self.bring_up_live(input, slug).await,
            false => Ok(()),
        }
    }

    /// Brings up what is live of a project, or has another job try it later: one that waited
    /// for its own next attempt would hold up the project's deployments.
    async fn bring_up_live(&self, input: &RouteInput, slug: Slug) -> Result<(), StepError> {
        let read = |error| Fault::retryable("reading", input.project, error);
        let releases = self.store.releases_on_target(&input.tenant, input.project);
        let mut releases = releases.await.map_err(read)?.into_iter();
        let Some(release) = releases.find(|release| release.state == ReleaseState::Live) else {
            return Ok(());
        };
        let live = LiveRelease { release, slug };
        match self.bring_up(&live).await {
            Err(StepError::Fault(fault)) if fault.retryable => {
                tracing::debug!(slug = %live.slug, %fault, "a release cannot be brought up yet");
                let later = self.bring_up_later(&live).await;
                Ok(later.map_err(|error| Fault::retryable("queueing", &live.slug, error))?)
            }
            done => done,
        }
    }

    /// Has a job bring it up in a while.
    pub(crate) async fn bring_up_later(&self, live: &LiveRelease) -> Result<(), EngineError> {
        let input = RouteInput {
            tenant: live.release.tenant.clone(),
            project: live.release.project,
            bring_up: true,
        };
        let job = NewJob {
            due: Due::After(AGAIN),
            ..self.route_job(&input, &live.release.target)?
        };
        self.store.enqueue(&input.tenant, job).await?;
        self.bus.publish(Hint::Jobs);
        Ok(())
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
