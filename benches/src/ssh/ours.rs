//! Ours: an engine with a target over SSH, and a project that goes there.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, Engine, Event, ProjectRequest};
use deployr_core::model::{Actor, DeploymentStatus, Project};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::value::{GitUrl, TargetName, TenantId, UrlPolicy};
use deployr_core::worker::Worker;
use deployr_exec::LocalBuilder;
use deployr_exec::ssh::SshExecutor;
use deployr_github::GitSource;
use deployr_store::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::repository::Repository;
use crate::Error;

pub(crate) struct Ours<'r> {
    runtime: &'r Runtime,
    engine: Engine,
    worker: Option<Worker>,
    actor: Actor,
    project: Project,
    _folder: TempDir,
}

impl<'r> Ours<'r> {
    pub(crate) fn open(
        runtime: &'r Runtime,
        repository: &Repository,
        executor: SshExecutor,
    ) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().to_owned();
        runtime.block_on(async {
            let store = SqliteStore::open(at.join("deployr.db")).await?;
            let engine = Engine::builder()
                .store(Arc::new(store))
                .source(Arc::new(
                    GitSource::new(at.join("mirrors")).allow_local(true),
                ))
                .builder(Arc::new(LocalBuilder::new(at.join("builds"))))
                .executor("ssh:bench", Arc::new(executor))
                .keys(KeyRing::new(vec![(KeyId::parse("k1")?, [7; 32])])?)
                .build()?;
            let actor = Actor::new(TenantId::parse("bench")?, "bench");
            let url = repository.path().display().to_string();
            let url = GitUrl::parse_with(url, &UrlPolicy::PERMISSIVE)?;
            let mut request = ProjectRequest::new("site", url)?;
            request.settings.target = TargetName::parse("ssh:bench")?;
            Ok(Self {
                runtime,
                worker: Some(engine.worker().spawn()),
                project: engine.create_project(&actor, request).await?,
                engine,
                actor,
                _folder: folder,
            })
        })
    }

    /// The newest commit, until it is live.
    pub(crate) fn deploy(&self) -> Result<(), Error> {
        let mut log = String::new();
        self.runtime.block_on(async {
            let latest = DeployRequest::latest();
            let (engine, actor) = (&self.engine, &self.actor);
            let deployment = engine.deploy(actor, self.project.id, latest).await?;
            let mut events = engine.follow(actor, deployment.id, 0).await?;
            while let Some(event) = events.try_next().await? {
                writeln!(log, "{event}")?;
                if let Event::Finished(deployment) = event {
                    return match deployment.status {
                        DeploymentStatus::Success => Ok(()),
                        status => Err(format!("{status}:\n{log}").into()),
                    };
                }
            }
            Err("a deployment never ended".into())
        })
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.runtime.block_on(worker.drain(Duration::from_secs(10)));
        }
    }
}
