//! Scheduled work: a queue with leases and fences.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{StoreError, StoreResult};
use crate::model::{
    Claim, Fence, Job, JobId, JobState, JobTemplate, Labels, Lease, Limit, WorkerId,
};
use crate::system::{Timestamp, later, stored};
use crate::value::{JobKind, TenantId};

/// A job to be enqueued. The id is fresh, from the caller.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its key.
    pub id: JobId,
    /// Which handler shall carry it out.
    pub kind: JobKind,
    /// What the handler needs to know; never a secret.
    pub input: serde_json::Value,
    /// Those with a higher one come first.
    pub priority: i16,
    /// How many jobs may share what it needs; each key once.
    pub limits: Vec<Limit>,
    /// What a worker must offer to be given it.
    pub needs: Labels,
    /// Not begun before then.
    pub due: Due,
    /// At least 1.
    pub max_attempts: u32,
    /// Fails with a queue time-out when it has not started so long after it was due; nor, once
    /// it has begun and is back in the queue, so long after it was due again.
    pub start_within: Duration,
}

impl NewJob {
    /// A job that any worker of its kind may begin at once, within a day, and try up to
    /// five times.
    #[must_use]
    pub fn new(id: JobId, kind: JobKind, input: serde_json::Value) -> Self {
        Self::of(id, JobTemplate::new(kind, input))
    }

    /// A job made after a template, due at once.
    #[must_use]
    pub fn of(id: JobId, template: JobTemplate) -> Self {
        Self {
            id,
            kind: template.kind,
            input: template.input,
            priority: template.priority,
            limits: template.limits,
            needs: template.needs,
            due: Due::Now,
            max_attempts: template.max_attempts,
            start_within: template.start_within,
        }
    }

    /// The job that it makes, as stores keep it: pending, and not begun. For those who
    /// write a store, which then queues it where it is due and has room.
    #[must_use]
    pub fn into_job(self, tenant: TenantId, now: Timestamp) -> Job {
        let run_at = match self.due {
            Due::Now => now,
            Due::After(delay) => later(now, delay),
            Due::At(time) => stored(time).max(now),
        };
        Job {
            id: self.id,
            tenant,
            kind: self.kind,
            input: self.input,
            priority: self.priority,
            limits: self.limits,
            needs: self.needs,
            state: JobState::Pending,
            run_at,
            attempt: 0,
            max_attempts: self.max_attempts.max(1),
            fence: Fence(0),
            worker: None,
            lease_until: None,
            start_by: later(run_at, self.start_within),
            cancel_requested: false,
            error: None,
            created_at: now,
            finished_at: None,
        }
    }
}

/// When a job may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// When so long has passed.
    After(Duration),
    /// At that time; at once where it has passed.
    At(Timestamp),
}

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// The kinds that it can carry out; others are left alone.
    pub kinds: Vec<JobKind>,
    /// What it has to offer; jobs that need something else are left alone.
    pub offers: Labels,
    /// How many at most.
    pub limit: u32,
    /// For how long without a heartbeat.
    pub term: Duration,
}

/// The answer to [`JobQueue::exchange`].
#[derive(Debug)]
pub struct Exchange {
    /// For each claim that was handed in, in order: what [`JobQueue::complete`] says of it.
    pub completed: Vec<StoreResult<()>>,
    /// The jobs that were taken.
    pub leases: Vec<Lease>,
}

/// The answer to one job's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Still held, for one more term. `cancel`: somebody wants it to stop.
    Held {
        /// Stop, then finish as cancelled.
        cancel: bool,
    },
    /// Held by nobody or by somebody else. Stop at once.
    Lost,
}

/// A fault in carrying out a job.
#[derive(Debug, Clone)]
pub struct JobFault {
    /// In words, without secrets.
    pub error: String,
    /// Try again after so long, if attempts are left; never where none.
    pub retry_after: Option<Duration>,
}

/// What a sweep of the queue did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Jobs whose lease had run out, and the state that each has now.
    pub rescued: Vec<(JobId, JobState)>,
    /// How many other leases had run out, and were not ended: the store was away, or there
    /// are suddenly so many that something else may be wrong. See [`Watch`](super::Watch).
    pub held_back: u32,
    /// Jobs that had not started in time, now failed or cancelled.
    pub timed_out: Vec<JobId>,
    /// Pending jobs that were due and had room, now queued.
    pub promoted: u32,
    /// Rows that could not be handled; the others were.
    pub poisoned: u32,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct QueueStats {
    /// Wait for their time, or for room.
    pub pending: u64,
    /// Could be claimed.
    pub queued: u64,
    /// In the hands of workers.
    pub running: u64,
}

/// Scheduled work: a queue with leases and fences.
///
/// For a job that carries out a deployment, each of these moves the deployment too,
/// in the same transaction: a job that goes back to the queue takes its deployment
/// back to `Queued`, save one that is `Cancelling`, which stays so; one that fails takes
/// it to `Failed`; one that is cancelled, to `Cancelled`.
///
/// ```
/// use std::time::Duration;
///
/// use deployr_core::model::{Labels, WorkerId};
/// use deployr_core::store::{ClaimRequest, JobQueue, StoreResult};
/// use deployr_core::value::JobKind;
///
/// /// Takes a job, if there is one, and says that it is done.
/// async fn one_job(store: &dyn JobQueue, worker: WorkerId, kind: JobKind) -> StoreResult<()> {
///     let term = Duration::from_secs(20);
///     let (kinds, offers) = (vec![kind], Labels::new());
///     let request = ClaimRequest { worker, kinds, offers, limit: 1, term };
///     for lease in store.claim(request).await? {
///         // What takes longer than the term needs `heartbeat`.
///         store.complete(&lease.claim).await?;
///     }
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Adds jobs, all or none, as if one after the other: where two share a key with
    /// one place, the second is pending. Gives them in the same order; none for none.
    ///
    /// # Errors
    ///
    /// `Conflict` for the first id that is taken: the same call had been carried out
    /// before, or the id is there twice.
    async fn enqueue_all(&self, tenant: &TenantId, new: Vec<NewJob>) -> StoreResult<Vec<Job>>;

    /// Adds a job.
    ///
    /// # Errors
    ///
    /// As [`enqueue_all`](Self::enqueue_all).
    async fn enqueue(&self, tenant: &TenantId, new: NewJob) -> StoreResult<Job> {
        let jobs = self.enqueue_all(tenant, vec![new]).await?;
        jobs.into_iter().next().ok_or(StoreError::Corrupt {
            what: "the answer to `enqueue_all`",
            reason: "no job for the one that was enqueued".into(),
        })
    }

    /// The job of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn job(&self, tenant: &TenantId, id: JobId) -> StoreResult<Job>;

    /// Completes the jobs of `done`, then takes others where `next` asks for some: what a
    /// worker with many short jobs does over and over, for the price of one commit.
    ///
    /// A completion that is refused is so in its place of the answer, and stops neither
    /// the other completions nor the claim. A key that a completion frees is free for the
    /// claim. After an error all was done or nothing, and the completions may be handed in
    /// again; what was claimed, [`held`](Self::held) tells.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn exchange(&self, done: &[Claim], next: Option<ClaimRequest>) -> StoreResult<Exchange>;

    /// Takes up to `limit` queued jobs: each is `running`, its fence and its attempts
    /// grown by one. No job is ever given to two.
    ///
    /// Those of the highest priority come first; among them tenants take turns, however
    /// many jobs each of them has. For that, a job gets a rank when it is queued for the
    /// first time, in the line of its kind, needs and priority: one more than the highest
    /// of its tenant there, and at least the lowest that is there (where nobody is, the lowest
    /// in any line of that priority: who takes from several must not find that one far ahead).
    /// The lowest ranks come first; of equal ones, the oldest.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn claim(&self, request: ClaimRequest) -> StoreResult<Vec<Lease>> {
        Ok(self.exchange(&[], Some(request)).await?.leases)
    }

    /// The jobs that a worker holds, by what the store knows; the oldest first. For a worker
    /// whose claim failed: that may have been done all the same, and only its answer been
    /// lost; or be done yet, within half a minute, where the store had not begun. A job that
    /// cannot be read is left out.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn held(&self, worker: WorkerId) -> StoreResult<Vec<Job>>;

    /// Extends leases by `term` from now; one answer a claim, in order. A lease that
    /// has run out is extended too, as long as nobody has taken the job.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn heartbeat(&self, claims: &[Claim], term: Duration) -> StoreResult<Vec<Beat>>;

    /// The same queue, by a way of its own: for whoever calls it on another runtime, and must
    /// not wait for the one on which the store was opened. None where the store needs no
    /// runtime, and may be called on any. Called on the runtime that is to use it.
    fn apart(&self) -> Option<Arc<dyn JobQueue>> {
        None
    }

    /// The job is done. The same call made again succeeds.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Illegal` for a deployment's job, which ends by
    /// [`Deployments::finish`](super::Deployments::finish).
    async fn complete(&self, claim: &Claim) -> StoreResult<()> {
        let answer = self.exchange(std::slice::from_ref(claim), None).await?;
        answer.completed.into_iter().next().unwrap_or_else(|| {
            Err(StoreError::Corrupt {
                what: "the answer to `exchange`",
                reason: "nothing about the job that was handed in".into(),
            })
        })
    }

    /// The job could not be carried out. With attempts left it is tried again: pending
    /// until then, in the places that it has (queued at once where it is to be cancelled:
    /// the next attempt puts the target in order). Else it
    /// is cancelled where that was asked for, else failed. Gives the new state. The same
    /// call made again gives the same.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn fail(&self, claim: &Claim, fault: JobFault) -> StoreResult<JobState>;

    /// Hands a job back unharmed (the worker is shutting down, or had to stop for want of an
    /// answer): it is queued at once, and the attempt does not count. So is one that is to be
    /// cancelled: whoever takes it next puts the target in order. The same call made again
    /// succeeds, until the job is claimed again or called off.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn release(&self, claim: &Claim) -> StoreResult<()>;

    /// Puts right what time has changed, at most `limit` rows of each sort, or fewer where those
    /// take long; the next call goes on with the rest:
    ///
    /// * a running job whose lease ran out more than a tenth of `term` ago ends its attempt,
    ///   as by [`fail`](Self::fail) with `retry_after`, unless a [`Watch`](super::Watch) over
    ///   leases of `term` says otherwise; where `term` is none, every running job does: the
    ///   caller knows that no worker lives;
    /// * a job that should have started by now, for the first time or again, fails with a
    ///   queue time-out; one that is to be cancelled is cancelled;
    /// * a pending job that is due and has room is queued.
    ///
    /// A row that cannot be handled is counted, left as it is, and stops none of the
    /// others. Any number of nodes may sweep at the same time.
    ///
    /// # Errors
    ///
    /// Only the store's own. Some of it may have been done then.
    async fn sweep(
        &self,
        term: Option<Duration>,
        retry_after: Duration,
        limit: u32,
    ) -> StoreResult<Sweep>;

    /// Gives out no more jobs of a kind, or does so again: `false`. Those that run go on;
    /// those that wait keep their turn. For all tenants. A second call changes nothing.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn pause(&self, kind: &JobKind, paused: bool) -> StoreResult<()>;

    /// The kinds that are paused, by name.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn paused(&self) -> StoreResult<Vec<JobKind>>;

    /// How full the queue is.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn queue_stats(&self) -> StoreResult<QueueStats>;
}
