//! Jobs that come again and again.

use async_trait::async_trait;

use super::{NewJob, StoreResult};
use crate::model::{JobTemplate, Page, Schedule};
use crate::system::Timestamp;
use crate::value::{ScheduleName, TenantId, Timetable};

/// A schedule to be kept.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// Its key, unique in the tenant.
    pub name: ScheduleName,
    /// When it comes.
    pub timetable: Timetable,
    /// What comes.
    pub job: JobTemplate,
}

/// The schedules whose time has come.
#[derive(Debug, Clone, Default)]
pub struct DueSchedules {
    /// The store's present time; none where no schedule is due.
    pub now: Option<Timestamp>,
    /// Those that are due, and those whose time was not reckoned yet.
    pub schedules: Vec<Schedule>,
}

/// What [`Schedules::advance`] changes.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The [`next_at`](Schedule::next_at) that the caller has seen.
    pub seen: Option<Timestamp>,
    /// The time after it.
    pub next: Timestamp,
    /// What has come; none where only the time was reckoned.
    pub job: Option<NewJob>,
}

/// Schedules. The store keeps times and compares them; what the next one is, its caller
/// reckons from the timetable.
///
/// ```
/// use deployr_core::model::JobTemplate;
/// use deployr_core::store::{NewSchedule, Schedules, StoreResult};
/// use deployr_core::value::{JobKind, ScheduleName, TenantId, Timetable};
///
/// async fn nightly(
///     store: &dyn Schedules,
///     tenant: &TenantId,
///     name: ScheduleName,
///     timetable: Timetable,
///     kind: JobKind,
/// ) -> StoreResult<()> {
///     let job = JobTemplate::new(kind, serde_json::json!({}));
///     let schedule = store.put_schedule(tenant, NewSchedule { name, timetable, job }).await?;
///     assert_eq!(schedule.last_at, None, "it has not come yet");
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Keeps a schedule, in the place of one of that name. Where its timetable is the same
    /// as before it comes next when it would have come; else that is to be reckoned. The
    /// same call made again changes nothing.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn put_schedule(&self, tenant: &TenantId, new: NewSchedule) -> StoreResult<Schedule>;

    /// The schedule of that name.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<Schedule>;

    /// The tenant's schedules, by name.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn schedules(
        &self,
        tenant: &TenantId,
        page: Page<ScheduleName>,
    ) -> StoreResult<Vec<Schedule>>;

    /// Forgets a schedule. Jobs that have come of it stay.
    ///
    /// # Errors
    ///
    /// `NotFound`, also for the same call made again.
    async fn remove_schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<()>;

    /// Up to `limit` schedules of all tenants that are due by the store's clock, or have no
    /// time yet. One that cannot be read stops none of the others.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn due_schedules(&self, limit: u32) -> StoreResult<DueSchedules>;

    /// Moves a schedule on, and enqueues what has come of it, both or neither; tells
    /// whether it did. It does not where the schedule has moved on since it was seen, was
    /// changed, or is gone: of any number of nodes that see it due, one moves it on.
    ///
    /// # Errors
    ///
    /// `Conflict` for a job id that is taken.
    async fn advance(
        &self,
        tenant: &TenantId,
        name: &ScheduleName,
        advance: Advance,
    ) -> StoreResult<bool>;
}
