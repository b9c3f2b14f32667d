//! What must outlive a process. [`Store`] is the sum of the small traits below; a
//! backend writes them all, and passes the suite in `testing::store`.
//!
//! # Rules for all of them
//!
//! * **One transaction a call.** A call happens whole or not at all, and once it has
//!   returned `Ok` it survives the loss of power.
//! * **The tenant is in the query.** A row of another tenant is
//!   [`StoreError::NotFound`], as if it did not exist.
//! * **A write of a worker names its [`Claim`]**, and is refused with
//!   [`StoreError::LeaseLost`] unless the job is running with that fence and worker.
//!   A lease that has run out but was not taken from the worker still counts.
//! * **The store's clock** is the only one: no call takes the present time.
//! * **States change by [`state`](crate::state)** and nowhere else; each change of a
//!   deployment writes its audit entry in the same transaction.
//! * All calls may run at the same time. None blocks the runtime's threads.

use std::time::Duration;

use async_trait::async_trait;

use crate::log::{LogLine, LogStream};
use crate::model::{
    Actor, AuditEntry, Cause, Claim, Deployment, DeploymentId, EnvEntry, Failure, Job, JobId,
    JobState, Lease, Page, Project, ProjectId, ProjectSettings, Recipe, Release, ReleaseId, Stage,
    StageTimes, WorkerId,
};
use crate::secret::Sealed;
use crate::state::IllegalTransition;
use crate::system::Timestamp;
use crate::value::{CommitId, EnvName, JobKind, ProjectName, Slug, TargetName, TenantId};

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such row, or not this tenant's.
    #[error("no {what} {key}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its key, as asked for.
        key: String,
    },
    /// The value is taken, or something else stands in the way.
    #[error("{what} {key} {rule}")]
    Conflict {
        /// The kind of thing.
        what: &'static str,
        /// Its key, as asked for.
        key: String,
        /// What stands in the way: `is taken`.
        rule: &'static str,
    },
    /// The caller no longer holds the job. It must stop at once, and change nothing.
    #[error("the lease of job {job} was lost to a later claim or a cancellation")]
    LeaseLost {
        /// The job.
        job: JobId,
    },
    /// The state machine knows no such change.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// Lines were left out: the log expects `expected` next.
    #[error("log of {deployment} expects line {expected} next")]
    LogGap {
        /// Whose log.
        deployment: DeploymentId,
        /// The number that must come next.
        expected: i64,
    },
    /// The store cannot do it now; nothing was changed. Try again.
    #[error("the store is not available for `{operation}`: {reason}")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// Why not.
        reason: String,
    },
    /// The store's disk is full; nothing was changed. Reads go on.
    #[error("the store's disk is full (during `{operation}`): free some space, nothing is lost")]
    Full {
        /// What was attempted.
        operation: &'static str,
    },
    /// What is stored cannot be understood: damage, or a newer version's rows.
    #[error("cannot read {what}: {reason}")]
    Corrupt {
        /// The kind of thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }
}

/// What a store's calls return.
pub type StoreResult<T> = Result<T, StoreError>;

/// A project to be created. The id is fresh, from the caller.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Its key.
    pub id: ProjectId,
    /// What people call it. Unique in the tenant, by its [`key`](ProjectName::key).
    pub name: ProjectName,
    /// Unique in the store, over all tenants.
    pub slug: Slug,
    /// Its settings.
    pub settings: ProjectSettings,
    /// Its environment, each value sealed to its row.
    pub env: Vec<(EnvName, Sealed)>,
}

/// Projects and their environments.
#[async_trait]
pub trait Projects: Send + Sync {
    /// Creates a project of the actor's tenant, with its environment.
    ///
    /// # Errors
    ///
    /// `Conflict`: of `project` when the id is taken or the tenant has one of that name,
    /// of `subdomain` when only the slug is taken.
    async fn create_project(&self, actor: &Actor, new: NewProject) -> StoreResult<Project>;

    /// The project of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Project>;

    /// The project of that name; where there is none, the one that has it as its slug.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn find_project(&self, tenant: &TenantId, name: &ProjectName) -> StoreResult<Project>;

    /// The tenant's projects, newest first.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn projects(&self, tenant: &TenantId, page: Page<ProjectId>)
    -> StoreResult<Vec<Project>>;

    /// Replaces a project's settings. Deployments that have started are not affected.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> StoreResult<Project>;

    /// Sets a variable, or removes it where `value` is none. Removing an absent one succeeds.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn set_env(
        &self,
        actor: &Actor,
        id: ProjectId,
        name: &EnvName,
        value: Option<Sealed>,
    ) -> StoreResult<()>;

    /// A project's variables, by name.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn env(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<EnvEntry>>;
}

/// A deployment to be created, with the job that carries it out. All ids are fresh,
/// from the caller.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// Its key.
    pub id: DeploymentId,
    /// Of which project of the actor's tenant.
    pub project: ProjectId,
    /// What is asked for.
    pub cause: Cause,
    /// The job, of kind `deploy`. Its concurrency key makes the project's deployments
    /// take turns.
    pub job: NewJob,
    /// Whether deployments of the same concurrency key that have not started are
    /// called off for this one (reason `superseded by <id>`).
    pub supersede: bool,
    /// The key of the job of kind `notify`, with input `{"tenant": …, "deployment": …}`,
    /// that the store enqueues in the transaction in which the deployment becomes final.
    pub notify_job: JobId,
}

/// How a worker ends a deployment, and the deployment's job with it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The release is live: it becomes `Live`, the one before it `Kept`; the job is completed.
    Success {
        /// The release, recorded earlier under the same claim or kept from before.
        release: ReleaseId,
    },
    /// A verdict, or a fault that no attempt can mend: the job is completed for
    /// [`Failure::Verdict`], failed for [`Failure::Fault`]. A release that this
    /// deployment had placed becomes `Gone`.
    Failed(Failure),
    /// The work has stopped after a request to cancel; the job is cancelled. A release
    /// that this deployment had placed becomes `Gone`.
    Cancelled,
}

/// Deployments.
#[async_trait]
pub trait Deployments: Send + Sync {
    /// Creates a deployment, its first stage, its job and its audit entry, and
    /// supersedes older ones where asked. The job is `queued`, or `pending` while its
    /// concurrency key is taken.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project or the release; `Conflict` when an id is taken: the
    /// same call had been carried out before.
    async fn create_deployment(&self, actor: &Actor, new: NewDeployment)
    -> StoreResult<Deployment>;

    /// The deployment of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn deployment(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Deployment>;

    /// The tenant's deployments, newest first; of one project where given.
    ///
    /// # Errors
    ///
    /// Only the store's own: an unknown project has none.
    async fn deployments(
        &self,
        tenant: &TenantId,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> StoreResult<Vec<Deployment>>;

    /// The stages that a deployment went through, in order.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn stages(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Vec<StageTimes>>;

    /// The next stage begins: ends the present one, and moves the status to the one
    /// that the stage belongs to. Entering the present stage again changes nothing.
    /// Notes the commit where given.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Illegal`, in particular when the deployment is being cancelled.
    async fn enter_stage(
        &self,
        claim: &Claim,
        id: DeploymentId,
        stage: Stage,
        commit: Option<&CommitId>,
    ) -> StoreResult<Deployment>;

    /// Asks for a deployment to stop. At once `Cancelled` where no worker has begun it,
    /// else `Cancelling`, and the job's `cancel_requested` is set: only a worker can put
    /// the target in order. A job that waits for its next attempt is due at once. Asking
    /// again, and asking after it has ended, changes nothing: see the status that is
    /// given back.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn request_cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> StoreResult<Deployment>;

    /// Ends a deployment and its job, notes the releases' new states, enqueues the
    /// notification and promotes the next pending job of the key. The same call made
    /// again (same claim, same outcome) changes nothing and succeeds. A success is
    /// accepted while `Cancelling`: the switch came before the wish.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Illegal`; `NotFound` for the release.
    async fn finish(
        &self,
        claim: &Claim,
        id: DeploymentId,
        outcome: Outcome,
    ) -> StoreResult<Deployment>;
}

/// A job to be enqueued. The id is fresh, from the caller.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its key.
    pub id: JobId,
    /// Which handler shall carry it out.
    pub kind: JobKind,
    /// What the handler needs to know; never a secret.
    pub input: serde_json::Value,
    /// At most one job of a key is queued or running.
    pub concurrency_key: Option<String>,
    /// Not claimed before so long has passed.
    pub delay: Duration,
    /// At least 1.
    pub max_attempts: u32,
    /// Fails with a queue time-out when it has not started after so long.
    pub start_within: Duration,
}

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// The kinds that it can carry out; others are left alone.
    pub kinds: Vec<JobKind>,
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
    /// Jobs that had not started in time, now failed.
    pub timed_out: Vec<JobId>,
    /// Pending jobs whose key was free, now queued.
    pub promoted: u32,
    /// Rows that could not be handled; the others were.
    pub poisoned: u32,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct QueueStats {
    /// Wait for their key.
    pub pending: u64,
    /// Could be claimed, or will be once their time comes.
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
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Adds jobs, all or none, as if one after the other: where two have the same key,
    /// the second is pending. Gives them in the same order; none for none.
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
    /// claim. After an error nothing was changed, and the same call may be made again.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn exchange(&self, done: &[Claim], next: Option<ClaimRequest>) -> StoreResult<Exchange>;

    /// Takes up to `limit` jobs that are queued and due, the oldest first: each is
    /// `running`, its fence and its attempts grown by one. No job is ever given to two.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn claim(&self, request: ClaimRequest) -> StoreResult<Vec<Lease>> {
        Ok(self.exchange(&[], Some(request)).await?.leases)
    }

    /// Extends leases by `term` from now; one answer a claim, in order. A lease that
    /// has run out is extended too, as long as nobody has taken the job.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn heartbeat(&self, claims: &[Claim], term: Duration) -> StoreResult<Vec<Beat>>;

    /// The job is done. The same call made again succeeds.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `Illegal` for a deployment's job, which ends by
    /// [`Deployments::finish`].
    async fn complete(&self, claim: &Claim) -> StoreResult<()> {
        let answer = self.exchange(std::slice::from_ref(claim), None).await?;
        answer.completed.into_iter().next().unwrap_or_else(|| {
            Err(StoreError::Corrupt {
                what: "the answer to `exchange`",
                reason: "nothing about the job that was handed in".into(),
            })
        })
    }

    /// The job could not be carried out. With attempts left it is queued again (at once
    /// where it is to be cancelled: the next attempt puts the target in order); else it
    /// is cancelled where that was asked for, else failed. Gives the new state. The same
    /// call made again gives the same.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn fail(&self, claim: &Claim, fault: JobFault) -> StoreResult<JobState>;

    /// Hands a job back unharmed (the worker is shutting down): it is queued at once,
    /// and the attempt does not count.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn release(&self, claim: &Claim) -> StoreResult<()>;

    /// Puts right what time has changed, at most `limit` rows of each sort:
    ///
    /// * a running job whose lease ran out more than `grace` ago ends its attempt, as by
    ///   [`fail`](Self::fail) with `retry_after`;
    /// * a job that should have started by now fails with a queue time-out;
    /// * a pending job whose key is free is queued, the oldest of each key.
    ///
    /// A row that cannot be handled is counted, left as it is, and stops none of the
    /// others. Any number of nodes may sweep at the same time.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn sweep(&self, grace: Duration, retry_after: Duration, limit: u32)
    -> StoreResult<Sweep>;

    /// How full the queue is.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn queue_stats(&self) -> StoreResult<QueueStats>;
}

/// A line on its way into the log. Its number is its place in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// When the engine had it.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: LogStream,
    /// The text, redacted and cleaned.
    pub text: String,
}

/// How much text one read of a log gives, in bytes: no line is added once it has so much.
pub const LOG_READ_BYTES: usize = 1 << 20;

/// The logs of deployments.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Appends lines, the first of which has number `first`. Lines that are there
    /// already (an answer was lost, and the call is made again) are left as they are.
    /// An empty batch is legal. Gives the number that comes next.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `LogGap` when `first` is past the number that comes next.
    async fn append_log(
        &self,
        claim: &Claim,
        id: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64>;

    /// Up to `limit` lines (at most 10,000) after the line `after`, in order; 0 for
    /// the start. Fewer where their text is longer than [`LOG_READ_BYTES`]: only a read
    /// that gives none has come to the end.
    ///
    /// # Errors
    ///
    /// `NotFound` for the deployment.
    async fn read_log(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<LogLine>>;

    /// The number of the last line; 0 where there is none.
    ///
    /// # Errors
    ///
    /// `NotFound` for the deployment.
    async fn last_line(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<i64>;
}

/// A release to be recorded. The id is fresh, from the caller.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Its key.
    pub id: ReleaseId,
    /// The executor that holds it.
    pub target: TargetName,
    /// What it was made from.
    pub commit: CommitId,
    /// Content digest of the artifact.
    pub digest: String,
    /// How it is run.
    pub recipe: Recipe,
    /// Its environment, sealed to the row of this id.
    pub env: Sealed,
}

/// Releases.
#[async_trait]
pub trait Releases: Send + Sync {
    /// Records the release that a deployment is about to place, and gives it the
    /// project's next number. A release that an earlier attempt of the same deployment
    /// had recorded becomes `Gone`; the same id made again is given back as it is.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn record_release(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        new: NewRelease,
    ) -> StoreResult<Release>;

    /// The release of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    async fn release_by_id(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<Release>;

    /// A project's releases, newest first.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn releases(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> StoreResult<Vec<Release>>;

    /// The live releases of all tenants: what an engine brings up again after a restart.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn live_releases(&self, page: Page<ReleaseId>) -> StoreResult<Vec<LiveRelease>>;

    /// A project's releases that are not gone, newest first: all that its target should
    /// have. As few as are kept, however many there were.
    ///
    /// # Errors
    ///
    /// `NotFound` for the project.
    async fn releases_on_target(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<Release>>;

    /// Notes that releases of the deployment's project leave their target. Live ones are
    /// left as they are. Called before they are removed, so that nobody counts on one
    /// that is gone.
    ///
    /// # Errors
    ///
    /// `LeaseLost`.
    async fn mark_gone(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        numbers: &[i64],
    ) -> StoreResult<()>;
}

/// A live release and what it takes to serve it.
#[derive(Debug, Clone)]
pub struct LiveRelease {
    /// The release.
    pub release: Release,
    /// The project's name in host names.
    pub slug: Slug,
}

/// The audit log. Written by the other calls only.
#[async_trait]
pub trait Audit: Send + Sync {
    /// The tenant's entries, newest first.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>>;
}

/// Keeps everything that must outlive a process. Implemented for whatever
/// implements all of its parts.
pub trait Store: Projects + Deployments + JobQueue + Logs + Releases + Audit {}

impl<T: Projects + Deployments + JobQueue + Logs + Releases + Audit + ?Sized> Store for T {}
