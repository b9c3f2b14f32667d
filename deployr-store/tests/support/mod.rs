//! Short words for what the tests do.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deployr_core::model::{
    Actor, Cause, DeploymentId, Job, JobId, Lease, Limit, Project, ProjectId, ProjectSettings,
    WorkerId,
};
use deployr_core::store::{
    ClaimRequest, JobQueue, NewDeployment, NewJob, NewProject, Projects, Store,
};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{
    BranchName, ConcurrencyKey, GitRef, GitUrl, JobKind, ProjectName, Slug, TargetName, TenantId,
};

pub(crate) type Made = Pin<Box<dyn Future<Output = Arc<dyn Store>>>>;

pub(crate) const TERM: Duration = Duration::from_secs(30);

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(crate) fn job_id() -> JobId {
    JobId::new(SystemClock.now(), &SystemEntropy)
}

pub(crate) fn new_job() -> NewJob {
    let kind = JobKind::parse("work").unwrap();
    NewJob {
        max_attempts: 3,
        ..NewJob::new(job_id(), kind, serde_json::json!({}))
    }
}

pub(crate) async fn enqueue(store: &impl JobQueue) -> Job {
    store.enqueue(&tenant("acme"), new_job()).await.unwrap()
}

pub(crate) async fn claim(store: &impl JobQueue, limit: u32) -> Vec<Lease> {
    let request = ClaimRequest {
        worker: WorkerId::new(SystemClock.now(), &SystemEntropy),
        kinds: vec![JobKind::parse("work").unwrap()],
        limit,
        offers: Default::default(),
        term: TERM,
    };
    store.claim(request).await.unwrap()
}

pub(crate) async fn project(store: &impl Projects, tenant_name: &str, slug: &str) -> Project {
    let settings = ProjectSettings::new(
        GitUrl::parse("https://example.com/acme/app.git").unwrap(),
        BranchName::parse("main").unwrap(),
        TargetName::parse("local").unwrap(),
    );
    let new = NewProject {
        id: ProjectId::new(SystemClock.now(), &SystemEntropy),
        name: ProjectName::parse(slug).unwrap(),
        slug: Slug::parse(slug).unwrap(),
        settings,
        env: Vec::new(),
    };
    store
        .create_project(&Actor::new(tenant(tenant_name), "ada"), new)
        .await
        .unwrap()
}

pub(crate) fn limit(key: &str, max: u32) -> Limit {
    let key = ConcurrencyKey::parse(key).unwrap();
    let max = NonZeroU32::new(max).unwrap();
    Limit { key, max }
}

/// A deployment of a project, carried out by a job that [`claim`] takes.
pub(crate) fn new_deployment(project: &Project) -> NewDeployment {
    let branch = project.settings.branch.clone();
    NewDeployment {
        id: DeploymentId::new(SystemClock.now(), &SystemEntropy),
        project: project.id,
        cause: Cause::Deploy {
            reference: GitRef::Branch(branch),
        },
        job: NewJob {
            limits: vec![limit(&format!("project:{}", project.id), 1)],
            ..new_job()
        },
        supersede: false,
        notify_job: job_id(),
    }
}
