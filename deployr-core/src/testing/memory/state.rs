use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::log::LogLine;
use crate::model::{
    AuditAction, AuditEntry, Claim, Deployment, DeploymentId, Domain, EnvEntry, Failure, Job,
    JobId, JobState, Page, Project, ProjectId, Release, ReleaseId, Schedule, StageTimes, WorkerId,
};
use crate::store::{Outcome, StoreError, StoreResult, Watch, WorkerReport};
use crate::system::Timestamp;
use crate::value::{CustomDomain, EnvName, JobKind, ScheduleName, Slug, TenantId};

/// Why a job was taken from its worker.
pub(super) const LEASE_EXPIRED: &str = "the worker was lost";

/// Why a job was not begun, or not begun again.
pub(super) const QUEUE_TIMEOUT: &str = "queue time-out: no worker took the job in time";
pub(super) const BEGUN_TIMEOUT: &str = "queue time-out: no worker took the job up again in time. \
    It had begun: what is live on the target may be its release";

/// All rows, by key.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The time of the transaction.
    pub(super) now: Timestamp,
    pub(super) projects: BTreeMap<ProjectId, Project>,
    pub(super) env: BTreeMap<(ProjectId, EnvName), EnvEntry>,
    pub(super) domains: BTreeMap<(ProjectId, CustomDomain), Domain>,
    pub(super) deployments: BTreeMap<DeploymentId, DeploymentRow>,
    pub(super) logs: BTreeMap<DeploymentId, Arc<Vec<LogLine>>>,
    pub(super) jobs: BTreeMap<JobId, JobRow>,
    pub(super) paused: BTreeSet<JobKind>,
    pub(super) workers: BTreeMap<WorkerId, (WorkerReport, Timestamp, Timestamp)>,
    pub(super) schedules: BTreeMap<(TenantId, ScheduleName), Schedule>,
    pub(super) releases: BTreeMap<ReleaseId, ReleaseRow>,
    /// Where something of a removed project is left, and whose it is; nobody's where that is
    /// not known.
    pub(super) left_behind: BTreeMap<Slug, Option<TenantId>>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) watch: Watch,
}

#[derive(Debug, Clone)]
pub(super) struct DeploymentRow {
    pub(super) deployment: Deployment,
    pub(super) stages: Vec<StageTimes>,
    pub(super) notify_job: JobId,
    /// In whose words it is being cancelled.
    pub(super) cancel_reason: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct JobRow {
    pub(super) job: Job,
    pub(super) deployment: Option<DeploymentId>,
    /// Its place in line, once it has been queued.
    pub(super) rank: Option<u64>,
    /// Whether it is due, and waits for room only.
    pub(super) waits_for_room: bool,
    /// How the last claim ended, to answer the same call made again.
    pub(super) ended: Option<(Claim, End)>,
}

impl JobRow {
    /// Whether it has a place of each of its keys.
    pub(super) fn has_places(&self) -> bool {
        self.rank.is_some() && !self.job.state.is_final()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Completed,
    Failed(JobState),
    Released,
    Finished {
        release: Option<ReleaseId>,
        failure: Option<Failure>,
    },
}

impl From<&Outcome> for End {
    fn from(outcome: &Outcome) -> Self {
        let (release, failure) = match outcome {
            Outcome::Success { release } => (Some(*release), None),
            Outcome::Failed(failure) => (None, Some(failure.clone())),
            Outcome::Cancelled => (None, None),
        };
        Self::Finished { release, failure }
    }
}

#[derive(Debug, Clone)]
pub(super) struct ReleaseRow {
    pub(super) release: Release,
}

pub(super) fn not_found(what: &'static str, key: &dyn std::fmt::Display) -> StoreError {
    StoreError::NotFound {
        what,
        key: key.to_string(),
    }
}

pub(super) fn conflict(
    what: &'static str,
    key: &dyn std::fmt::Display,
    rule: &'static str,
) -> StoreError {
    StoreError::Conflict {
        what,
        key: key.to_string(),
        rule,
    }
}

/// The page of rows that come by descending key.
pub(super) fn newest_first<'a, Key, Row: 'a, T>(
    rows: impl DoubleEndedIterator<Item = &'a Row>,
    page: Page<Key>,
    key: impl Fn(&Row) -> Key,
    give: impl Fn(&Row) -> T,
) -> Vec<T>
where
    Key: Ord + Copy,
{
    rows.rev()
        .filter(|row| page.after.is_none_or(|after| key(row) < after))
        .take(page.limit() as usize)
        .map(give)
        .collect()
}

impl State {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            projects: BTreeMap::new(),
            env: BTreeMap::new(),
            domains: BTreeMap::new(),
            deployments: BTreeMap::new(),
            logs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            paused: BTreeSet::new(),
            workers: BTreeMap::new(),
            schedules: BTreeMap::new(),
            releases: BTreeMap::new(),
            left_behind: BTreeMap::new(),
            audit: Vec::new(),
            watch: Watch::default(),
        }
    }

    pub(super) fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<&Project> {
        let project = self
            .projects
            .get(&id)
            .filter(|project| project.tenant == *tenant);
        project.ok_or_else(|| not_found("project", &id))
    }

    pub(super) fn deployment(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
    ) -> StoreResult<&DeploymentRow> {
        let row = self
            .deployments
            .get(&id)
            .filter(|row| row.deployment.tenant == *tenant);
        row.ok_or_else(|| not_found("deployment", &id))
    }

    pub(super) fn release(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<&ReleaseRow> {
        let row = self
            .releases
            .get(&id)
            .filter(|row| row.release.tenant == *tenant);
        row.ok_or_else(|| not_found("release", &id))
    }

    /// The job that the claim holds.
    pub(super) fn held(&self, claim: &Claim) -> StoreResult<&JobRow> {
        let holds = |row: &&JobRow| {
            row.job.state == JobState::Running
                && row.job.fence == claim.fence
                && row.job.worker == Some(claim.worker)
        };
        let row = self.jobs.get(&claim.job).filter(holds);
        row.ok_or(StoreError::LeaseLost { job: claim.job })
    }

    /// The deployment, where the claim holds the job that carries it out.
    pub(super) fn held_deployment(
        &self,
        claim: &Claim,
        id: DeploymentId,
    ) -> StoreResult<&DeploymentRow> {
        let held = self.held(claim)?.deployment == Some(id);
        let row = self.deployments.get(&id).filter(|_| held);
        row.ok_or(StoreError::LeaseLost { job: claim.job })
    }

    /// How the claim ended, where the same claim was the last.
    pub(super) fn ended(&self, claim: &Claim) -> Option<&End> {
        let (last, end) = self.jobs.get(&claim.job)?.ended.as_ref()?;
        let same = last == claim && self.jobs[&claim.job].job.fence == claim.fence;
        same.then_some(end)
    }

    pub(super) fn note_end(&mut self, claim: &Claim, end: End) {
        if let Some(row) = self.jobs.get_mut(&claim.job) {
            row.ended = Some((*claim, end));
        }
    }

    pub(super) fn audit(
        &mut self,
        tenant: &TenantId,
        actor: &str,
        action: AuditAction,
        project: ProjectId,
        deployment: Option<DeploymentId>,
        detail: impl Into<String>,
    ) {
        self.audit.push(AuditEntry {
            seq: self.audit.last().map_or(1, |last| last.seq + 1),
            at: self.now,
            tenant: tenant.clone(),
            actor: actor.to_owned(),
            action,
            project: Some(project),
            deployment,
            detail: detail.into(),
        });
    }
}
