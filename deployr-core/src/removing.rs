//! Taking a project away: the handler of jobs of kind `remove`. Such a job shares the key of
//! the project's deployments, so that it runs beside none of them. Each step may be made
//! again; which targets are left is written down after each.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Inner, redacted};
use crate::error::{Fault, StepError, StepResult};
use crate::job::{Done, JobContext, JobError, JobHandler, RetryPolicy};
use crate::log::Redactor;
use crate::model::{Actor, Job, Page, Project, ProjectId, Removal};
use crate::redeploying;
use crate::retry;
use crate::store::StoreError;
use crate::value::{Slug, TargetName};

/// Rows that go in one transaction.
const BATCH: u32 = 1_000;

pub(crate) struct RemoveHandler(pub(crate) Weak<Inner>);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RemoveInput {
    pub(crate) project: ProjectId,
    /// None where only rows are left to go.
    pub(crate) target: Option<TargetName>,
}

#[async_trait]
impl JobHandler for RemoveHandler {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let engine = self.0.upgrade().ok_or(JobError::Stopped)?;
        let input: RemoveInput = serde_json::from_value(job.input.clone()).map_err(|error| {
            Fault::permanent("reading", format!("the input of job {}", job.id), error)
        })?;
        // Whatever it is in, it is dropped there, and made again by the next attempt.
        tokio::select! {
            biased;
            () = ctx.stop.cancelled() => Err(JobError::Stopped),
            removed = engine.remove(job, ctx, &input) => removed.map(|()| Done::Completed),
        }
    }

    fn retry(&self) -> RetryPolicy {
        RetryPolicy {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(60),
        }
    }
}

impl Inner {
    async fn remove(
        self: &Arc<Self>,
        job: &Job,
        ctx: &JobContext,
        input: &RemoveInput,
    ) -> Result<(), JobError> {
        let project = match self.store.project(&job.tenant, input.project).await {
            // By an earlier attempt, or another job.
            Err(StoreError::NotFound { .. }) => return Ok(()),
            found => found.map_err(|error| stored(input.project, error))?,
        };
        let Some(removal) = project.removal.clone() else {
            return Ok(());
        };
        self.unschedule(&project).await?;
        self.call_off(&project).await?;
        let redactor = self.redactor_for(&project).await;
        let redactor = redactor.map_err(|error| stored(project.id, error))?;
        let unrouted = self.unroute(&project.slug).await;
        match unrouted.map_err(|error| redacted(error, &redactor)) {
            Err(error) if removal.forget => {
                tracing::warn!(slug = %project.slug, %error, "the route of a project that is forgotten stays");
            }
            unrouted => {
                unrouted.map_err(|error| JobError::of_step("removal", &project.name, error))?
            }
        }
        let mut left = removal.targets.clone();
        if let Some(target) = input.target.as_ref().filter(|one| left.contains(*one)) {
            let cleared = self.clear(&project, &removal, target).await;
            cleared.map_err(|error| left_on(&project, target, redacted(error, &redactor)))?;
            let noted = || self.store.target_cleared(&ctx.claim, project.id, target);
            let noted = retry::until_stored(&ctx.lost, &self.trouble, job.id, noted).await;
            match noted {
                Ok(project) => left = project.removal.unwrap_or_default().targets,
                Err(StoreError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(stored(project.id, error)),
            }
        }
        if !left.is_empty() {
            return Ok(()); // the job of the last one goes on
        }
        self.forget_caches(&project, &redactor).await;
        loop {
            let delete = || self.store.delete_project(&ctx.claim, project.id, BATCH);
            let gone = retry::until_stored(&ctx.lost, &self.trouble, job.id, delete).await;
            if gone.map_err(|error| stored(project.id, error))? {
                tracing::info!(project = %project.id, name = %project.name, "a project was removed");
                return Ok(());
            }
        }
    }

    /// Again: whoever asked for the removal may have died before.
    async fn call_off(self: &Arc<Self>, project: &Project) -> Result<(), JobError> {
        let engine = Engine::over(Arc::clone(self));
        let actor = Actor::new(project.tenant.clone(), "deployr");
        let called_off = engine.call_off(&actor, project.id).await;
        called_off.map_err(|error| Fault::retryable("removal", &project.name, error).into())
    }

    /// Nobody is sent to what goes next.
    async fn unroute(&self, slug: &Slug) -> StepResult<()> {
        match &self.ingress {
            Some(ingress) => ingress.remove(slug).await,
            None => Ok(()),
        }
    }

    async fn clear(
        &self,
        project: &Project,
        removal: &Removal,
        target: &TargetName,
    ) -> StepResult<()> {
        let executor = self.executors.get(target).ok_or_else(|| {
            let reason = format!("this worker has no target called `{target}`");
            Fault::permanent("removal", &project.name, reason)
        })?;
        executor.remove(&project.slug, removal.purge).await
    }

    /// What was kept to be fast costs nothing but space where it stays.
    async fn forget_caches(&self, project: &Project, redactor: &Redactor) {
        let builder = self.builder_for(&project.settings.target);
        if let Err(error) = builder.forget(project.id).await {
            let error = redacted(error, redactor);
            tracing::warn!(project = %project.id, %error, "the caches of its builds stay");
        }
        if let Err(error) = self.source.forget(&project.settings.source).await {
            let error = redacted(error, redactor);
            tracing::warn!(project = %project.id, %error, "the mirror of its source stays");
        }
    }

    async fn unschedule(&self, project: &Project) -> Result<(), JobError> {
        let failed = |error| stored(project.id, error);
        let mut page = Page::first(100);
        loop {
            let some = self.store.schedules(&project.tenant, page).await;
            let some = some.map_err(failed)?;
            let Some(last) = some.last() else {
                return Ok(());
            };
            page = Page::first(100).after(last.name.clone());
            for schedule in some
                .iter()
                .filter(|one| redeploying::is_of(one, project.id))
            {
                let removed = self.store.remove_schedule(&project.tenant, &schedule.name);
                match removed.await {
                    Ok(()) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }
}

/// Says what is left, and what can be done.
fn left_on(project: &Project, target: &TargetName, error: StepError) -> JobError {
    let JobError::Fault(fault) = JobError::of_step("removal", &project.name, error) else {
        return JobError::Stopped;
    };
    let reason = format!(
        "{fault}. What the target `{target}` has of the project is left; mend the target and \
         remove the project again, or forget it, which leaves the target as it is"
    );
    JobError::Fault(Fault {
        operation: "removal",
        subject: project.name.to_string(),
        reason,
        retryable: fault.retryable,
        source: None,
    })
}

/// Trouble with the rows passes: another deployment ends, or the store is back.
fn stored(project: ProjectId, error: StoreError) -> JobError {
    match error {
        StoreError::LeaseLost { .. } => JobError::Stopped,
        error => Fault::retryable("removal", project, &error)
            .because(error)
            .into(),
    }
}
