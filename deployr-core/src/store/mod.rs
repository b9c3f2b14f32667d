//! What must outlive a process. [`Store`] is the sum of the small traits below; a
//! backend writes them all, and passes the suite in `testing::store`.
//!
//! # Rules for all of them
//!
//! * **One transaction a call.** A call happens whole or not at all, and once it has
//!   returned `Ok` it survives the loss of power.
//! * **The tenant is in the query.** A row of another tenant is
//!   [`StoreError::NotFound`], as if it did not exist.
//! * **A write of a worker names its [`Claim`](crate::model::Claim)**, and is refused with
//!   [`StoreError::LeaseLost`] unless the job is running with that fence and worker.
//!   A lease that has run out but was not taken from the worker still counts.
//! * **The store's clock** is the only one: no call takes the present time.
//! * **States change by [`state`](crate::state)** and nowhere else; each change of a
//!   deployment writes its audit entry in the same transaction.
//! * All calls may run at the same time. None blocks the runtime's threads.

mod audit;
mod deployments;
mod domains;
mod error;
mod insight;
mod logs;
mod projects;
mod queue;
mod releases;
mod removals;
mod retention;
mod schedules;
mod watch;
mod workers;

pub use audit::Audit;
pub use deployments::{Deployments, NewDeployment, Outcome};
pub use domains::{Domains, MAX_DOMAINS};
pub use error::{StoreError, StoreResult};
pub use insight::{COUNTED, FullKey, Insight, KindStats, Standing};
pub use logs::{LOG_READ_BYTES, Logs, NewLine};
pub use projects::{NewProject, Projects};
pub use queue::{Beat, ClaimRequest, Due, Exchange, JobFault, JobQueue, NewJob, QueueStats, Sweep};
pub use releases::{LiveRelease, NewRelease, Releases};
pub use removals::{NewRemoval, Removals};
pub use retention::{Housekeeping, Pruned, Retention};
pub use schedules::{Advance, DueSchedules, NewSchedule, Schedules};
pub use watch::Watch;
pub use workers::{FORGOTTEN, WorkerReport, WorkerSeen, Workers};

/// Keeps everything that must outlive a process. Implemented for whatever
/// implements all of its parts.
///
/// ```
/// use deployr_core::model::Page;
/// use deployr_core::store::{Store, StoreResult};
/// use deployr_core::value::TenantId;
///
/// /// The last words of a tenant's newest deployment.
/// async fn last_words(store: &dyn Store, tenant: &TenantId) -> StoreResult<Option<String>> {
///     let newest = store.deployments(tenant, None, Page::first(1)).await?;
///     let Some(deployment) = newest.first() else {
///         return Ok(None);
///     };
///     let last = store.last_line(tenant, deployment.id).await?;
///     let lines = store.read_log(tenant, deployment.id, (last - 1).max(0), 1).await?;
///     Ok(lines.into_iter().next().map(|line| line.text))
/// }
/// ```
pub trait Store:
    Projects
    + Deployments
    + JobQueue
    + Logs
    + Releases
    + Removals
    + Domains
    + Schedules
    + Workers
    + Insight
    + Housekeeping
    + Audit
{
}

impl<T> Store for T where
    T: Projects
        + Deployments
        + JobQueue
        + Logs
        + Releases
        + Removals
        + Domains
        + Schedules
        + Workers
        + Insight
        + Housekeeping
        + Audit
        + ?Sized
{
}
