//! Ours: an engine as people run it on one box, and a project in it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deployr_core::engine::{DeployRequest, Engine, Event, ProjectRequest};
use deployr_core::model::{Actor, Deployment, DeploymentStatus, Project};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::source::SourceProvider;
use deployr_core::value::{GitUrl, TenantId, UrlPolicy};
use deployr_core::worker::Worker;
use deployr_exec::ingress::BuiltinIngress;
use deployr_exec::{LocalBuilder, LocalExecutor};
use deployr_github::GitSource;
use deployr_store::SqliteStore;
use tokio::runtime::Runtime;

use super::Took;
use super::script::own_time;
use crate::Error;

pub(crate) struct Site<'r> {
    runtime: &'r Runtime,
    engine: Engine,
    worker: Worker,
    actor: Actor,
    pub(crate) project: Project,
    pub(crate) ingress: Arc<BuiltinIngress>,
}

/// A deployment that has ended.
pub(crate) struct Ended {
    pub(crate) deployment: Deployment,
    log: String,
    /// From the call to the moment a follower saw its end.
    took: Duration,
}

impl<'r> Site<'r> {
    /// With everything below `folder`, and nothing in it yet.
    pub(crate) fn open(runtime: &'r Runtime, folder: &Path, url: &str) -> Result<Self, Error> {
        let source = GitSource::new(folder.join("mirrors")).allow_private_hosts(true);
        Self::with_source(runtime, folder, url, Arc::new(source))
    }

    pub(super) fn with_source(
        runtime: &'r Runtime,
        folder: &Path,
        url: &str,
        source: Arc<dyn SourceProvider>,
    ) -> Result<Self, Error> {
        runtime.block_on(async {
            let ingress = Arc::new(BuiltinIngress::bind("127.0.0.1:0".parse()?).await?);
            let store = SqliteStore::open(folder.join("deployr.db")).await?;
            let engine = Engine::builder()
                .store(Arc::new(store))
                .source(source)
                .builder(Arc::new(LocalBuilder::new(folder.join("builds"))))
                .executor("local", Arc::new(LocalExecutor::new(folder.join("sites"))))
                .ingress(ingress.clone())
                .keys(KeyRing::new(vec![(KeyId::parse("k1")?, [7; 32])])?)
                .build()?;
            let actor = Actor::new(TenantId::parse("bench")?, "bench");
            let request =
                ProjectRequest::new("site", GitUrl::parse_with(url, &UrlPolicy::PERMISSIVE)?)?;
            Ok(Self {
                runtime,
                worker: engine.worker().spawn(),
                project: engine.create_project(&actor, request).await?,
                engine,
                actor,
                ingress,
            })
        })
    }

    /// Deploys the newest commit and waits for the end, whatever it is.
    pub(crate) fn deploy(&self) -> Result<Ended, Error> {
        let began = Instant::now();
        let mut log = String::new();
        self.runtime.block_on(async {
            let latest = DeployRequest::latest();
            let deployment = self
                .engine
                .deploy(&self.actor, self.project.id, latest)
                .await?;
            let mut events = self.engine.follow(&self.actor, deployment.id, 0).await?;
            while let Some(event) = events.try_next().await? {
                writeln!(log, "{event}")?;
                if let Event::Finished(deployment) = event {
                    let (took, deployment) = (began.elapsed(), *deployment);
                    return Ok(Ended {
                        deployment,
                        log,
                        took,
                    });
                }
            }
            Err("a deployment never ended".into())
        })
    }

    pub(crate) fn close(self) {
        self.runtime
            .block_on(self.worker.drain(Duration::from_secs(10)));
    }
}

impl Ended {
    /// How long it took to go live, and its build command of that.
    pub(crate) fn live(&self) -> Result<Took, Error> {
        if self.deployment.status != DeploymentStatus::Success {
            return Err(format!("a deployment is not live:\n{}", self.log).into());
        }
        Ok(Took {
            all: self.took,
            build: own_time(&self.log)?,
        })
    }
}
