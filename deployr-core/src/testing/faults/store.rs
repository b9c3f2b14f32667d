use std::time::Duration;

use crate::log::LogLine;
use crate::model::{
    Actor, AuditEntry, Claim, Deployment, DeploymentId, Domain, EnvEntry, Job, JobId, JobState,
    Page, Project, ProjectId, ProjectSettings, Release, ReleaseId, Schedule, Stage, StageTimes,
    WorkerId,
};
use crate::secret::Sealed;
use crate::store::{
    Advance, Audit, Beat, ClaimRequest, Deployments, Domains, DueSchedules, Exchange, Housekeeping,
    Insight, JobFault, JobQueue, KindStats, LiveRelease, Logs, NewDeployment, NewJob, NewLine,
    NewProject, NewRelease, NewRemoval, NewSchedule, Outcome, Projects, Pruned, QueueStats,
    Releases, Removals, Retention, Schedules, Standing, StoreResult, Sweep, WorkerReport,
    WorkerSeen, Workers,
};
use crate::value::{
    CommitId, CustomDomain, EnvName, JobKind, ProjectName, ScheduleName, TargetName, TenantId,
};

forward! { Projects;
    fn create_project(&self, actor: &Actor, new: NewProject) -> StoreResult<Project>;
    fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Project>;
    fn find_project(&self, tenant: &TenantId, name: &ProjectName) -> StoreResult<Project>;
    fn projects(&self, tenant: &TenantId, page: Page<ProjectId>) -> StoreResult<Vec<Project>>;
    fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> StoreResult<Project>;
    fn set_env(
        &self,
        actor: &Actor,
        id: ProjectId,
        name: &EnvName,
        value: Option<Sealed>,
    ) -> StoreResult<()>;
    fn env(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<EnvEntry>>;
}

forward! { Removals;
    fn begin_removal(
        &self,
        actor: &Actor,
        project: ProjectId,
        removal: NewRemoval,
    ) -> StoreResult<Project>;
    fn target_cleared(
        &self,
        claim: &Claim,
        project: ProjectId,
        target: &TargetName,
    ) -> StoreResult<Project>;
    fn delete_project(
        &self,
        claim: &Claim,
        project: ProjectId,
        limit: u32,
    ) -> StoreResult<bool>;
}

forward! { Domains;
    fn add_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        token: &str,
    ) -> StoreResult<Domain>;
    fn domains(&self, tenant: &TenantId, project: ProjectId) -> StoreResult<Vec<Domain>>;
    fn domain_holder(&self, domain: &CustomDomain) -> StoreResult<Option<Domain>>;
    fn verify_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        verified: bool,
        job: NewJob,
    ) -> StoreResult<Domain>;
    fn remove_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        job: NewJob,
    ) -> StoreResult<()>;
}

forward! { Deployments;
    fn create_deployment(&self, actor: &Actor, new: NewDeployment) -> StoreResult<Deployment>;
    fn deployment(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Deployment>;
    fn deployments(
        &self,
        tenant: &TenantId,
        project: Option<ProjectId>,
        page: Page<DeploymentId>,
    ) -> StoreResult<Vec<Deployment>>;
    fn stages(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<Vec<StageTimes>>;
    fn enter_stage(
        &self,
        claim: &Claim,
        id: DeploymentId,
        stage: Stage,
        commit: Option<&CommitId>,
    ) -> StoreResult<Deployment>;
    fn request_cancel(
        &self,
        actor: &Actor,
        id: DeploymentId,
        reason: &str,
    ) -> StoreResult<Deployment>;
    fn finish(
        &self,
        claim: &Claim,
        id: DeploymentId,
        outcome: Outcome,
    ) -> StoreResult<Deployment>;
}

forward! { JobQueue;
    fn enqueue_all(&self, tenant: &TenantId, new: Vec<NewJob>) -> StoreResult<Vec<Job>>;
    fn job(&self, tenant: &TenantId, id: JobId) -> StoreResult<Job>;
    fn fail(&self, claim: &Claim, fault: JobFault) -> StoreResult<JobState>;
    fn release(&self, claim: &Claim) -> StoreResult<()>;
    fn sweep(&self, term: Option<Duration>, retry_after: Duration, limit: u32) -> StoreResult<Sweep>;
    fn pause(&self, kind: &JobKind, paused: bool) -> StoreResult<()>;
    fn paused(&self) -> StoreResult<Vec<JobKind>>;
    fn queue_stats(&self) -> StoreResult<QueueStats>;
    else {
        async fn exchange(
            &self,
            done: &[Claim],
            next: Option<ClaimRequest>,
        ) -> StoreResult<Exchange> {
            let name = match (done, &next) {
                ([], _) => "claim",
                (_, None) => "complete",
                _ => "exchange",
            };
            let next = next.map(|next| ClaimRequest {
                term: self.plan.term(next.term),
                ..next
            });
            let call = super::Call::new(super::Part::Store, name);
            let answer = self.plan.call(call, self.part.exchange(done, next)).await?;
            self.plan.exchanged(&answer);
            Ok(answer)
        }

        async fn held(&self, worker: WorkerId) -> StoreResult<Vec<Job>> {
            let call = super::Call::new(super::Part::Store, "held");
            let jobs = self.plan.call(call, self.part.held(worker)).await?;
            self.plan.held(&jobs);
            Ok(jobs)
        }

        async fn heartbeat(&self, claims: &[Claim], term: Duration) -> StoreResult<Vec<Beat>> {
            let call = super::Call::new(super::Part::Store, "heartbeat");
            let term = self.plan.term(term);
            let beats = self.plan.call(call, self.part.heartbeat(claims, term)).await?;
            self.plan.beat(&beats);
            Ok(beats)
        }
    }
}

forward! { Logs;
    fn append_log(
        &self,
        claim: &Claim,
        id: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64>;
    fn read_log(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<LogLine>>;
    fn last_line(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<i64>;
}

forward! { Releases;
    fn record_release(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        new: NewRelease,
    ) -> StoreResult<Release>;
    fn release_by_id(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<Release>;
    fn releases(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> StoreResult<Vec<Release>>;
    fn live_releases(&self, page: Page<ReleaseId>) -> StoreResult<Vec<LiveRelease>>;
    fn releases_on_target(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<Release>>;
    fn mark_gone(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        numbers: &[i64],
    ) -> StoreResult<()>;
}

forward! { Audit;
    fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>>;
}

forward! { Schedules;
    fn put_schedule(&self, tenant: &TenantId, new: NewSchedule) -> StoreResult<Schedule>;
    fn schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<Schedule>;
    fn schedules(
        &self,
        tenant: &TenantId,
        page: Page<ScheduleName>,
    ) -> StoreResult<Vec<Schedule>>;
    fn remove_schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<()>;
    fn advance(
        &self,
        tenant: &TenantId,
        name: &ScheduleName,
        advance: Advance,
    ) -> StoreResult<bool>;
    else {
        // Asked every second by every scheduler, and asked again where it fails: not
        // counted, or most of a run's calls would be this one.
        async fn due_schedules(&self, limit: u32) -> StoreResult<DueSchedules> {
            self.plan.uncounted(self.part.due_schedules(limit)).await
        }
    }
}

// Nothing hangs on the register, and every worker writes to it all the time.
forward! { Workers;
    else {
        async fn report_worker(&self, report: WorkerReport) -> StoreResult<()> {
            self.plan.uncounted(self.part.report_worker(report)).await
        }

        async fn remove_worker(&self, id: WorkerId) -> StoreResult<()> {
            self.plan.uncounted(self.part.remove_worker(id)).await
        }

        async fn workers(&self) -> StoreResult<Vec<WorkerSeen>> {
            self.plan.uncounted(self.part.workers()).await
        }
    }
}

forward! { Insight;
    fn queue_by_kind(&self) -> StoreResult<Vec<KindStats>>;
    fn standing(&self, tenant: &TenantId, id: JobId) -> StoreResult<Standing>;
}

forward! { Housekeeping;
    fn prune(&self, keep: &Retention, limit: u32) -> StoreResult<Pruned>;
}
