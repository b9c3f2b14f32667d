use std::collections::BTreeSet;

use super::{Engine, EngineError};
use crate::bus::Hint;
use crate::model::{
    Actor, Job, JobId, JobState, Labels, Limit, Page, Project, ProjectId, ReleaseState, Removal,
};
use crate::removing::RemoveInput;
use crate::store::{NewJob, NewRemoval, StoreError};
use crate::value::{ConcurrencyKey, JobKind, Label, TargetName};

/// Attempts at a target that does not answer: for about two minutes.
const ATTEMPTS: u32 = 5;
/// Before the deployments that wait for their turn.
const PRIORITY: i16 = 100;

/// Why its deployments are called off.
pub(crate) const REMOVED: &str = "the project is removed";

/// What goes with a project, besides the project itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveRequest {
    /// Also what the app itself has written: shared folders, volumes. Else that stays, for
    /// the tenant's next project of that name.
    pub purge: bool,
    /// No target is touched, only the rows go: for a target that will never answer again.
    /// What runs there runs on, and the project's slug is not given to anybody any more.
    pub forget: bool,
}

impl Engine {
    /// Removes a project. What is written down when this returns: that it takes no deployment
    /// any more, and a job of kind `remove` for each target that has releases of it. Those
    /// that wait or run are asked to stop.
    ///
    /// The jobs take the route away, then all that is on the targets, then what was kept of
    /// its source and its builds, then its schedules, variables, domains, deployments and
    /// logs; the project itself goes last, and its name is free then. The audit log stays.
    ///
    /// Where a target does not answer a few times, its job fails with what is left there
    /// ([`removal_trouble`](Self::removal_trouble)). A second call tries the targets again that
    /// are left, or gives them up where it says `forget`.
    ///
    /// # Errors
    ///
    /// `NotFound`, also once it is removed; `UnknownTarget` where a target is none of this
    /// engine's any more: it can only be forgotten.
    pub async fn remove_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        request: RemoveRequest,
    ) -> Result<Project, EngineError> {
        let engine = self.inner();
        let project = self.project(actor, id).await?;
        let (targets, kept) = match request.forget {
            true => (BTreeSet::new(), false),
            false => self.targets_of(actor, &project).await?,
        };
        if !engine.targets_elsewhere {
            for target in &targets {
                engine.executor(target)?;
            }
        }
        let mut jobs = Vec::new();
        for target in &targets {
            jobs.push(self.remove_job(&project, Some(target))?);
        }
        if targets.is_empty() {
            jobs.push(self.remove_job(&project, None)?);
        }
        let removal = NewRemoval {
            purge: request.purge,
            forget: request.forget,
            kept,
            targets,
            jobs,
        };
        let project = engine.store.begin_removal(actor, id, removal).await?;
        self.call_off(actor, id).await?;
        engine.bus.publish(Hint::Jobs);
        Ok(project)
    }

    /// Why the removal of a project has come to a stand, in the words of the jobs that have
    /// failed; none while it goes on, or waits for its turn.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn removal_trouble(&self, project: &Project) -> Result<Option<String>, EngineError> {
        let jobs = self.removal_jobs(project).await?;
        if jobs.iter().any(|job| !job.state.is_final()) {
            return Ok(None);
        }
        let failed = jobs.iter().filter(|job| job.state == JobState::Failed);
        let why: Vec<&str> = failed.filter_map(|job| job.error.as_deref()).collect();
        Ok((!why.is_empty()).then(|| why.join("; ")))
    }

    async fn removal_jobs(&self, project: &Project) -> Result<Vec<Job>, EngineError> {
        let mut jobs = Vec::new();
        for id in project.removal.iter().flat_map(|removal| &removal.jobs) {
            match self.inner().store.job(&project.tenant, *id).await {
                Err(StoreError::NotFound { .. }) => {} // over for long
                found => jobs.push(found?),
            }
        }
        Ok(jobs)
    }

    /// Where something of it may be; and whether that is also where nobody gets any more.
    async fn targets_of(
        &self,
        actor: &Actor,
        project: &Project,
    ) -> Result<(BTreeSet<TargetName>, bool), EngineError> {
        if let Some(Removal {
            forget: false,
            targets,
            ..
        }) = &project.removal
        {
            return Ok((targets.clone(), false));
        }
        // Also what an attempt has left that was never recorded.
        let mut targets = BTreeSet::from([project.settings.target.clone()]);
        let mut kept = false;
        let mut page = Page::first(1_000);
        loop {
            let some = self.releases(actor, project.id, page).await?;
            let Some(last) = some.last() else {
                return Ok((targets, kept));
            };
            page = page.after(last.id);
            // What is gone by what is written down may still be on a target that the project
            // has left; where that is no more, it stays there.
            for release in some {
                match release.state != ReleaseState::Gone || self.has_target(&release.target) {
                    true => drop(targets.insert(release.target)),
                    false => kept = true,
                }
            }
        }
    }

    /// Asks all of its deployments to stop.
    pub(crate) async fn call_off(&self, actor: &Actor, id: ProjectId) -> Result<(), EngineError> {
        let mut page = Page::first(100);
        loop {
            let some = self.deployments(actor, Some(id), page).await?;
            let Some(last) = some.last() else {
                return Ok(());
            };
            page = page.after(last.id);
            for open in some.iter().filter(|one| !one.status.is_final()) {
                match self.cancel(actor, open.id, REMOVED).await {
                    // Gone already.
                    Err(EngineError::Store(StoreError::NotFound { .. })) => {}
                    called_off => drop(called_off?),
                }
            }
        }
    }

    fn remove_job(
        &self,
        project: &Project,
        target: Option<&TargetName>,
    ) -> Result<NewJob, EngineError> {
        let engine = self.inner();
        let input = RemoveInput {
            project: project.id,
            target: target.cloned(),
        };
        let mut limits = Vec::new();
        if target.is_some() {
            limits.push(Limit::one(ConcurrencyKey::parse(project.id.to_string())?));
        }
        Ok(NewJob {
            priority: PRIORITY,
            needs: target.map(Label::target).into_iter().collect::<Labels>(),
            limits,
            max_attempts: ATTEMPTS,
            ..NewJob::new(
                JobId::new(engine.clock.now(), &*engine.entropy),
                JobKind::parse("remove")?,
                serde_json::json!(input),
            )
        })
    }
}
