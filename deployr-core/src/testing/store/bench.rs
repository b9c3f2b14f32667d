use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::log::LogStream;
use crate::model::{
    Actor, Cause, Claim, Deployment, DeploymentId, Failure, HealthCheck, Job, JobId, Labels, Lease,
    Limit, Page, Project, ProjectId, ProjectSettings, Recipe, Release, ReleaseId, Runtime, Stage,
    WorkerId,
};
use crate::secret::Sealed;
use crate::store::{
    ClaimRequest, JobFault, NewDeployment, NewJob, NewLine, NewProject, NewRelease, Outcome, Store,
    StoreResult,
};
use crate::system::Clock;
use crate::testing::{ManualClock, SeededEntropy};
use crate::value::{
    BranchName, CommitId, ConcurrencyKey, Framework, GitRef, GitUrl, JobKind, OutputDir,
    ProjectName, Slug, TargetName, TenantId,
};

/// How long the leases of a [`Bench`] hold.
pub(super) const TERM: Duration = Duration::from_secs(30);

/// A store on the bench, and short words for what checks do with it. Time passes by
/// a millisecond with each id that is made, so that ids sort by age.
pub struct Bench {
    /// What is checked.
    pub store: Arc<dyn Store>,
    /// The clock that the store goes by.
    pub clock: Arc<ManualClock>,
    /// On whose behalf things are done.
    pub actor: Actor,
    entropy: SeededEntropy,
}

macro_rules! fresh_ids {
    ($($name:ident: $id:ident,)*) => {$(
        pub(super) fn $name(&self) -> $id {
            self.clock.advance(Duration::from_millis(1));
            $id::new(self.clock.now(), &self.entropy)
        }
    )*};
}

pub(super) fn kind(name: &str) -> JobKind {
    JobKind::parse(name).unwrap()
}

pub(super) fn concurrency_key(name: &str) -> ConcurrencyKey {
    ConcurrencyKey::parse(name).unwrap()
}

pub(super) fn limit(key: &str, max: u32) -> Limit {
    Limit {
        key: concurrency_key(key),
        max: NonZeroU32::new(max).unwrap(),
    }
}

pub(super) fn commit() -> CommitId {
    CommitId::parse("0123456789abcdef0123456789abcdef01234567").unwrap()
}

pub(super) fn sealed(content: u8) -> Sealed {
    let header = [1, 2, b'k', b'1'];
    Sealed::from_bytes([&header[..], &[content; 24 + 16 + 4]].concat()).unwrap()
}

pub(super) fn settings() -> ProjectSettings {
    ProjectSettings::new(
        GitUrl::parse("https://example.com/acme/app.git").unwrap(),
        BranchName::parse("main").unwrap(),
        TargetName::parse("local").unwrap(),
    )
}

pub(super) fn recipe() -> Recipe {
    Recipe {
        framework: Framework::parse("static").unwrap(),
        root: None,
        commands: Vec::new(),
        output: OutputDir::parse("dist").unwrap(),
        runtime: Runtime::Static { single_page: false },
        health: HealthCheck::default(),
        shared: Vec::new(),
        writable: Vec::new(),
        on_target: Default::default(),
        images: Default::default(),
    }
}

pub(super) fn verdict() -> Failure {
    Failure::Verdict {
        code: "build_failed".to_owned(),
        message: "exited 1".to_owned(),
    }
}

pub(super) fn fault(retry_after: Option<Duration>) -> JobFault {
    JobFault {
        error: "the network is down".to_owned(),
        retry_after,
    }
}

impl Bench {
    /// A bench for an empty store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        let actor = Actor::new(TenantId::parse("acme").unwrap(), "ada");
        Self {
            store,
            clock,
            actor,
            entropy: SeededEntropy::new(1),
        }
    }

    fresh_ids! {
        project_id: ProjectId,
        deployment_id: DeploymentId,
        job_id: JobId,
        release_id: ReleaseId,
        worker_id: WorkerId,
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.actor.tenant
    }

    pub(in crate::testing) fn new_project(&self, slug: &str) -> NewProject {
        NewProject {
            id: self.project_id(),
            name: ProjectName::parse(slug).unwrap(),
            slug: Slug::parse(slug).unwrap(),
            settings: settings(),
            env: Vec::new(),
        }
    }

    pub(super) async fn project(&self, slug: &str) -> Project {
        self.store
            .create_project(&self.actor, self.new_project(slug))
            .await
            .unwrap()
    }

    pub(super) fn new_job(&self, kind_name: &str, key: Option<&str>) -> NewJob {
        NewJob {
            limits: key
                .map(|name| Limit::one(concurrency_key(name)))
                .into_iter()
                .collect(),
            max_attempts: 3,
            ..NewJob::new(
                self.job_id(),
                kind(kind_name),
                serde_json::json!({ "n": 1 }),
            )
        }
    }

    pub(super) async fn enqueue(&self, key: Option<&str>) -> Job {
        self.store
            .enqueue(self.tenant(), self.new_job("work", key))
            .await
            .unwrap()
    }

    pub(super) fn new_deployment(&self, project: ProjectId) -> NewDeployment {
        NewDeployment {
            id: self.deployment_id(),
            project,
            cause: Cause::Deploy {
                reference: GitRef::Branch(settings().branch),
            },
            job: self.new_job("deploy", Some(&format!("project:{project}"))),
            supersede: false,
            notify_job: self.job_id(),
        }
    }

    pub(super) async fn deployment(&self, project: ProjectId) -> Deployment {
        let new = self.new_deployment(project);
        self.store
            .create_deployment(&self.actor, new)
            .await
            .unwrap()
    }

    /// A deployment that has so many lines and is over.
    pub(super) async fn ended(&self, project: ProjectId, lines: usize) -> DeploymentId {
        let id = self.deployment(project).await.id;
        let claim = self.claim().await;
        let line = |n| NewLine {
            at: self.clock.now(),
            stream: LogStream::Stdout,
            text: format!("line {n}"),
        };
        let lines = (0..lines).map(line).collect();
        self.store.append_log(&claim, id, 1, lines).await.unwrap();
        self.store
            .finish(&claim, id, Outcome::Cancelled)
            .await
            .unwrap();
        id
    }

    /// Lets time pass, and queues what is due by then.
    pub(super) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.store.sweep(Some(time * 2), TERM, 1_000).await.unwrap();
    }

    /// Takes up to `limit` jobs of any kind that checks use, but not notices.
    pub(super) async fn claim_up_to(&self, limit: u32) -> Vec<Lease> {
        let kinds = vec![kind("work"), kind("deploy")];
        let request = ClaimRequest {
            worker: self.worker_id(),
            kinds,
            offers: Labels::new(),
            limit,
            term: TERM,
        };
        self.store.claim(request).await.unwrap()
    }

    /// Takes the one job that there must be.
    pub(super) async fn claim(&self) -> Claim {
        let leases = self.claim_up_to(1).await;
        leases.first().expect("there is a job to claim").claim
    }

    /// A project, and a deployment of it that a worker holds.
    pub(super) async fn held(&self) -> (Project, Deployment, Claim) {
        let project = self.project("app").await;
        let deployment = self.deployment(project.id).await;
        let claim = self.claim().await;
        assert_eq!(claim.job, deployment.job);
        (project, deployment, claim)
    }

    pub(super) async fn enter(
        &self,
        claim: &Claim,
        id: DeploymentId,
        stage: Stage,
    ) -> StoreResult<Deployment> {
        self.store.enter_stage(claim, id, stage, None).await
    }

    pub(super) fn new_release(&self) -> NewRelease {
        NewRelease {
            id: self.release_id(),
            target: settings().target,
            commit: commit(),
            digest: "sha256:00".to_owned(),
            recipe: recipe(),
            env: sealed(7),
        }
    }

    pub(super) async fn place(&self, claim: &Claim, id: DeploymentId) -> Release {
        for stage in [Stage::Checkout, Stage::Build, Stage::Release] {
            self.enter(claim, id, stage).await.unwrap();
        }
        self.store
            .record_release(claim, id, self.new_release())
            .await
            .unwrap()
    }

    /// Carries out a deployment to the end: its release is live.
    pub(super) async fn go_live(&self, project: ProjectId) -> (Deployment, Release) {
        let deployment = self.deployment(project).await;
        let claim = self.claim().await;
        let release = self.place(&claim, deployment.id).await;
        let outcome = Outcome::Success {
            release: release.id,
        };
        let deployment = self
            .store
            .finish(&claim, deployment.id, outcome)
            .await
            .unwrap();
        (deployment, self.release(release.id).await)
    }

    pub(super) async fn job(&self, id: JobId) -> Job {
        self.store.job(self.tenant(), id).await.unwrap()
    }

    pub(super) async fn row(&self, id: DeploymentId) -> Deployment {
        self.store.deployment(self.tenant(), id).await.unwrap()
    }

    pub(super) async fn release(&self, id: ReleaseId) -> Release {
        self.store.release_by_id(self.tenant(), id).await.unwrap()
    }

    /// The statuses that the audit log says a deployment moved to, in order.
    pub(super) async fn moves(&self, id: DeploymentId) -> Vec<String> {
        use crate::model::AuditAction::DeploymentMoved;
        let mut entries = self
            .store
            .audit(self.tenant(), Page::first(1_000))
            .await
            .unwrap();
        entries.reverse();
        let moved = |entry: &crate::model::AuditEntry| {
            entry.deployment == Some(id) && entry.action == DeploymentMoved
        };
        entries
            .into_iter()
            .filter(moved)
            .map(|entry| entry.detail)
            .collect()
    }
}

/// Whether a call was refused with the wanted error.
macro_rules! assert_refused {
    ($call:expr, $error:ident) => {{
        let answer = $call;
        assert!(
            matches!(answer, Err(crate::store::StoreError::$error { .. })),
            "`{}` must be refused with {}, not {answer:?}",
            stringify!($call),
            stringify!($error),
        );
    }};
}
pub(super) use assert_refused;
