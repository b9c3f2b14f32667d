use super::{Engine, EngineError};
use crate::model::{Actor, Page, ProjectId, Schedule};
use crate::redeploying;
use crate::scheduler;
use crate::store::{NewSchedule, StoreError};
use crate::value::{ScheduleName, TenantId, Timetable};

impl Engine {
    /// Has a job come again and again, in the place of the schedule of that name; gives it
    /// with the time when it comes first. An app may say so at each of its starts: where
    /// the timetable is as before, the next time stays what it was.
    ///
    /// A scheduler runs beside every worker. Of any number of them, one enqueues each job;
    /// times that passed while none was alive come once, when one is. A job comes also
    /// while the one before still runs, unless its
    /// [`limits`](crate::model::JobTemplate::limits) say otherwise.
    ///
    /// ```no_run
    /// use deployr_core::engine::{Engine, EngineError};
    /// use deployr_core::model::JobTemplate;
    /// use deployr_core::store::NewSchedule;
    /// use deployr_core::value::{JobKind, ScheduleName, TenantId, Timetable};
    ///
    /// # async fn example(engine: Engine, tenant: TenantId) -> Result<(), EngineError> {
    /// let backup = NewSchedule {
    ///     name: ScheduleName::parse("backup")?,
    ///     timetable: Timetable::parse("30 4 * * * Europe/Vienna")?,
    ///     job: JobTemplate::new(JobKind::parse("backup")?, serde_json::json!({})),
    /// };
    /// let schedule = engine.schedule(&tenant, backup).await?;
    /// println!("comes first at {:?}", schedule.next_at);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn schedule(
        &self,
        tenant: &TenantId,
        new: NewSchedule,
    ) -> Result<Schedule, EngineError> {
        let engine = self.inner();
        let schedule = engine.store.put_schedule(tenant, new).await?;
        if schedule.next_at.is_some() {
            return Ok(schedule);
        }
        scheduler::advance(engine, &schedule, schedule.updated_at).await?;
        Ok(engine.store.schedule(tenant, &schedule.name).await?)
    }

    /// Keeps a schedule by which a project is deployed again: what its branch points at when
    /// the time comes. Otherwise as [`schedule`](Self::schedule). It goes with the project.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project; `Conflict` when it is being removed; the store's.
    pub async fn schedule_redeploy(
        &self,
        actor: &Actor,
        project: ProjectId,
        name: ScheduleName,
        timetable: Timetable,
    ) -> Result<Schedule, EngineError> {
        let project = self.project(actor, project).await?;
        if project.removal.is_some() {
            let (what, key) = ("project", project.name.to_string());
            let rule = "is being removed";
            return Err(StoreError::Conflict { what, key, rule }.into());
        }
        let job = redeploying::template(project.id, &name)?;
        let new = NewSchedule {
            name,
            timetable,
            job,
        };
        self.schedule(&actor.tenant, new).await
    }

    /// The project that a schedule deploys; none where other jobs come of it.
    #[must_use]
    pub fn scheduled_project(schedule: &Schedule) -> Option<ProjectId> {
        redeploying::project_of(schedule)
    }

    /// The tenant's schedules, by name.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn schedules(
        &self,
        tenant: &TenantId,
        page: Page<ScheduleName>,
    ) -> Result<Vec<Schedule>, EngineError> {
        Ok(self.inner().store.schedules(tenant, page).await?)
    }

    /// Forgets a schedule. Jobs that have come of it stay.
    ///
    /// # Errors
    ///
    /// `NotFound`, also for the same call made again.
    pub async fn unschedule(
        &self,
        tenant: &TenantId,
        name: &ScheduleName,
    ) -> Result<(), EngineError> {
        Ok(self.inner().store.remove_schedule(tenant, name).await?)
    }
}
