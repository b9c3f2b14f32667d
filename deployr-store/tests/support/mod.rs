//! Short words for what the tests do.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deployr_core::model::{
    Actor, Job, JobId, Lease, Project, ProjectId, ProjectSettings, WorkerId,
};
use deployr_core::store::{ClaimRequest, JobQueue, NewJob, NewProject, Projects, Store};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::ManualClock;
use deployr_core::value::{BranchName, GitUrl, JobKind, ProjectName, Slug, TargetName, TenantId};
use deployr_store::{Options, SqliteStore};
use tempfile::TempDir;

pub(crate) type Made = Pin<Box<dyn Future<Output = Arc<dyn Store>>>>;

pub(crate) const TERM: Duration = Duration::from_secs(30);

pub(crate) fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("deployr.db")
}

pub(crate) async fn open(path: &Path, clock: &Arc<ManualClock>) -> SqliteStore {
    let options = Options {
        clock: clock.clone(),
        readers: 4,
    };
    SqliteStore::open_with(path, options).await.unwrap()
}

/// A connection behind the store's back.
pub(crate) fn raw(path: &Path) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db
}

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

pub(crate) async fn enqueue(store: &SqliteStore) -> Job {
    store.enqueue(&tenant("acme"), new_job()).await.unwrap()
}

pub(crate) async fn claim(store: &SqliteStore, limit: u32) -> Vec<Lease> {
    let request = ClaimRequest {
        worker: WorkerId::new(SystemClock.now(), &SystemEntropy),
        kinds: vec![JobKind::parse("work").unwrap()],
        limit,
        offers: Default::default(),
        term: TERM,
    };
    store.claim(request).await.unwrap()
}

pub(crate) async fn project(store: &SqliteStore, tenant_name: &str, slug: &str) -> Project {
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

/// A fresh store for each check, in one folder.
pub(crate) fn fresh(folder: &TempDir) -> impl Fn(Arc<ManualClock>) -> Made + use<> {
    let root = folder.path().to_owned();
    move |clock| {
        let path = root.join(format!("{}.db", job_id()));
        Box::pin(async move { Arc::new(open(&path, &clock).await) as Arc<dyn Store> })
    }
}
