//! A second process's view: an engine over the same file that queues and reads, and carries
//! out nothing. Open for as long as it takes, as the command line's.

use std::sync::Arc;

use deployr_core::engine::{DeployRequest, Engine, ProjectRequest};
use deployr_core::log::LogLine;
use deployr_core::model::{
    Actor, Deployment, DeploymentId, Page, Project, Release, ReleaseState, StageTimes,
};
use deployr_core::secret::KeyRing;
use deployr_core::value::{CommitId, GitUrl, TenantId};
use deployr_exec::local::build::LocalBuilder;
use deployr_exec::local::run::LocalExecutor;
use deployr_github::GitSource;
use deployr_store::SqliteStore;

use crate::machine::{Machine, Repository};
use crate::site::Site;

pub(crate) struct Client {
    pub(crate) engine: Engine,
    pub(crate) me: Actor,
}

impl Client {
    /// Over the data directory of a server that has been started once.
    pub(crate) async fn open(machine: &Machine) -> Self {
        let data = machine.path().join(".deployr");
        let keys = std::fs::read_to_string(data.join("secret.key")).unwrap();
        let store = SqliteStore::open(data.join("deployr.db")).await.unwrap();
        let engine = Engine::builder()
            .store(Arc::new(store))
            .source(Arc::new(GitSource::new(data.join("mirrors"))))
            .builder(Arc::new(LocalBuilder::new(data.join("builds"))))
            .executor("local", Arc::new(LocalExecutor::new(data.join("sites"))))
            .keys(KeyRing::parse(&keys).unwrap())
            .build()
            .unwrap();
        let me = Actor::new(TenantId::parse("default").unwrap(), "tester");
        Self { engine, me }
    }

    pub(crate) async fn create_project(&self, name: &str, repository: &Repository) -> Project {
        let url = GitUrl::local(repository.path().as_ref()).unwrap();
        let request = ProjectRequest::new(name, url).unwrap();
        self.engine.create_project(&self.me, request).await.unwrap()
    }

    /// Queues a commit; in the place of what waits, or behind it.
    pub(crate) async fn deploy(&self, site: &Site, commit: CommitId, wait: bool) -> DeploymentId {
        let mut request = DeployRequest::commit(commit);
        request.keep_waiting = wait;
        let deployed = self.engine.deploy(&self.me, site.project, request).await;
        deployed.unwrap().id
    }

    /// Queues going back to a release that is kept, where there is one.
    pub(crate) async fn roll_back(&self, site: &Site, dice: usize) -> Option<DeploymentId> {
        let mut kept = self.releases(site).await;
        kept.retain(|release| release.state == ReleaseState::Kept);
        let to = kept.get(dice % kept.len().max(1))?.id;
        // It may have been removed meanwhile, which is an answer too.
        let rolled = self.engine.rollback(&self.me, site.project, Some(to)).await;
        Some(rolled.ok()?.id)
    }

    pub(crate) async fn cancel(&self, id: DeploymentId) {
        let cancelled = self.engine.cancel(&self.me, id, "called off by the test");
        cancelled.await.unwrap();
    }

    pub(crate) async fn deployment(&self, id: DeploymentId) -> Deployment {
        self.engine.deployment(&self.me, id).await.unwrap()
    }

    pub(crate) async fn stages(&self, id: DeploymentId) -> Vec<StageTimes> {
        self.engine.stages(&self.me, id).await.unwrap()
    }

    /// Newest first.
    pub(crate) async fn deployments(&self, site: &Site) -> Vec<Deployment> {
        let (mut all, mut page) = (Vec::new(), Page::first(1_000));
        loop {
            let more = self.engine.deployments(&self.me, Some(site.project), page);
            let more = more.await.unwrap();
            let Some(last) = more.last() else { return all };
            page = page.after(last.id);
            all.extend(more);
        }
    }

    /// Those of all sites that are not over. They are never many, and always new ones.
    pub(crate) async fn unfinished(&self) -> Vec<Deployment> {
        let all = self.engine.deployments(&self.me, None, Page::first(100));
        let mut all = all.await.unwrap();
        all.retain(|deployment| !deployment.status.is_final());
        all
    }

    /// Newest first.
    pub(crate) async fn releases(&self, site: &Site) -> Vec<Release> {
        let (mut all, mut page) = (Vec::new(), Page::first(1_000));
        loop {
            let more = self.engine.releases(&self.me, site.project, page);
            let more = more.await.unwrap();
            let Some(last) = more.last() else { return all };
            page = page.after(last.id);
            all.extend(more);
        }
    }

    pub(crate) async fn log(&self, id: DeploymentId) -> Vec<LogLine> {
        self.engine.read_log(&self.me, id, 0, 10_000).await.unwrap()
    }
}
