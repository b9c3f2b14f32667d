//! Puts the engine together: the one place that names the parts.

use std::path::Path;
use std::sync::Arc;

use deployr_core::bus::{EventBus, LocalBus};
use deployr_core::engine::{Engine, EngineError};
use deployr_core::ingress::Ingress;
use deployr_core::model::{Actor, Deployment, DeploymentId, Page, Project, ProjectId};
use deployr_core::notifier::LogNotifier;
use deployr_core::store::StoreError;
use deployr_core::value::TenantId;
use deployr_exec::DnsResolver;
use deployr_exec::ingress::CaddyIngress;
use deployr_exec::local::Sandbox;
use deployr_exec::local::build::LocalBuilder;
use deployr_exec::local::run::LocalExecutor;
use deployr_github::{GitSource, Proxies};
use deployr_store::SqliteStore;
use nix::unistd::{AccessFlags, access};
use tempfile::TempDir;

use crate::config::Settings;
use crate::data::{DataDir, Holder};
use crate::docker;
use crate::exit::{Error, Result};
use crate::keys;
use crate::shared;

/// The engine over one data directory, and the operator who uses it.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) actor: Actor,
    pub(crate) executor: LocalExecutor,
    /// Where the engine says that something changed.
    pub(crate) bus: Arc<dyn EventBus>,
    /// The process that serves, when it is another.
    pub(crate) holder: Option<Holder>,
    /// Whether the store is that of many machines.
    pub(crate) is_shared: bool,
}

impl Host {
    /// An engine that serves through `builtin`, unless the settings say through Caddy; one
    /// that only writes and reads where there is neither, and no worker is started.
    pub(crate) async fn open(
        settings: &Settings,
        data: &DataDir,
        builtin: Option<Arc<dyn Ingress>>,
    ) -> Result<Self> {
        Self::over(None, settings, data, builtin).await
    }

    /// The same over another file.
    async fn over(
        scratch: Option<&Path>,
        settings: &Settings,
        data: &DataDir,
        builtin: Option<Arc<dyn Ingress>>,
    ) -> Result<Self> {
        let source = GitSource::new(data.mirrors())
            .allow_local(settings.allow_local)
            .allow_private_hosts(settings.allow_private_hosts)
            .proxies(Proxies::from_env());
        let releases = sandbox(settings, data.path()).confine(settings.confine_releases);
        // A plan names the folders, and has other data.
        let sites = DataDir::at(&settings.data).sites();
        let executor = LocalExecutor::new(sites).sandbox(releases);
        let (builder, bus): (_, Arc<dyn EventBus>) = match (&settings.database, scratch) {
            (Some(database), None) => shared::engine(database).await?,
            (_, scratch) => {
                let file = scratch.map_or_else(|| data.database(), Path::to_owned);
                let builder = Engine::builder().store(Arc::new(store(&file).await?));
                (builder, Arc::new(LocalBus::default()))
            }
        };
        let mut builder = builder
            .bus(bus.clone())
            .source(Arc::new(source))
            .builder(Arc::new(local_builder(settings, data)))
            .executor(settings.target.as_str(), Arc::new(executor.clone()))
            .notifier(Arc::new(LogNotifier))
            .keys(keys::load(
                data,
                settings.database.is_none() || scratch.is_some(),
            )?);
        #[cfg(feature = "cpanel")]
        for (target, executor) in &settings.cpanel {
            builder = builder.executor(target.as_str(), Arc::new(executor.clone()));
        }
        #[cfg(feature = "ssh")]
        for (target, executor) in &settings.ssh {
            builder = builder.executor(target.as_str(), Arc::new(executor.clone()));
        }
        builder = docker::add(builder, settings, &DataDir::at(&settings.data), data);
        if let Some(caddy) = caddy(settings) {
            builder = builder.ingress(Arc::new(caddy));
        } else if let Some(builtin) = builtin {
            builder = builder.ingress(builtin);
        }
        let resolver = match &settings.resolver {
            Some(servers) => DnsResolver::at(servers).map(Arc::new),
            None => DnsResolver::system().map(Arc::new),
        };
        match resolver {
            Ok(resolver) => builder = builder.resolver(resolver),
            // All but domains can do without.
            Err(fault) => tracing::warn!(%fault, "whose a domain is cannot be looked up"),
        }
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        Ok(Self {
            engine: builder.build()?,
            actor: Actor::new(
                TenantId::parse("default")?,
                user.unwrap_or_else(|| "operator".into()),
            ),
            executor,
            bus,
            holder: None,
            is_shared: settings.database.is_some(),
        })
    }

    /// For commands that leave the work to others: they make no data directory.
    pub(crate) async fn client(settings: &Settings) -> Result<Self> {
        Self::open(settings, &Self::data(settings)?, None).await
    }

    /// The data directory, where there is something to find.
    pub(crate) fn data(settings: &Settings) -> Result<DataDir> {
        match settings.database {
            Some(_) => DataDir::open(&settings.data),
            None => DataDir::existing(&settings.data),
        }
    }

    /// The project of that name or id, where there is a data directory with one.
    pub(crate) async fn known(settings: &Settings, text: &str) -> Result<Option<(Self, Project)>> {
        let Ok(data) = Self::data(settings) else {
            return Ok(None);
        };
        let host = Self::open(settings, &data, None).await?;
        let project = host.find(text).await?;
        Ok(project.map(|project| (host, project)))
    }

    /// For what must leave no trace: over a database that is thrown away with the folder
    /// beside it, and so is all the rest where there is no data directory yet.
    pub(crate) async fn scratch(settings: &Settings) -> Result<(Self, TempDir)> {
        let scratch = tempfile::tempdir().map_err(|error| Error::io("make a folder", error))?;
        let data = match DataDir::existing(&settings.data) {
            Ok(data) => data,
            Err(_) => DataDir::open(&scratch.path().join("data"))?,
        };
        let database = scratch.path().join("scratch.db");
        let host = Self::over(Some(&database), settings, &data, None).await?;
        Ok((host, scratch))
    }

    /// Where a project is served, by this process or by the one that holds the lock.
    pub(crate) fn url(&self, project: &Project) -> Option<String> {
        let holder = self.holder.as_ref();
        self.engine
            .url(project)
            .or_else(|| holder?.url(project.slug.as_str()))
    }

    /// The project of that name or id, if there is one.
    pub(crate) async fn find(&self, text: &str) -> Result<Option<Project>> {
        match self.look_for(text).await {
            Ok(project) => Ok(Some(project)),
            Err(EngineError::Invalid(_) | EngineError::Store(StoreError::NotFound { .. })) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The project of that name or id.
    pub(crate) async fn project(&self, text: &str) -> Result<Project> {
        self.look_for(text).await.map_err(|error| {
            Error::from(error).hint("`deployr list` shows the projects that there are")
        })
    }

    async fn look_for(&self, text: &str) -> std::result::Result<Project, EngineError> {
        match text.parse::<ProjectId>() {
            Ok(id) => self.engine.project(&self.actor, id).await,
            Err(_) => self.engine.project_by_name(&self.actor, text).await,
        }
    }

    /// The deployment of that id, or the newest of the project of that name or id.
    pub(crate) async fn deployment(&self, text: &str) -> Result<Deployment> {
        if text.starts_with(&format!("{}_", DeploymentId::PREFIX)) {
            return Ok(self.engine.deployment(&self.actor, text.parse()?).await?);
        }
        let project = self.project(text).await?;
        let newest = self
            .engine
            .deployments(&self.actor, Some(project.id), Page::first(1))
            .await?;
        newest
            .into_iter()
            .next()
            .ok_or_else(|| Error::fault(format!("{} has no deployments yet", project.name)))
    }
}

/// The store; only to read where nothing can be written.
pub(crate) async fn store(database: &Path) -> Result<SqliteStore> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let can_write = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    if database.is_file() && !(can_write(folder) && can_write(database)) {
        return SqliteStore::open_read_only(database).await.map_err(|error| {
            Error::from(error)
                .hint("copy the data directory to where it can be written to, and name that with --data DIR")
        });
    }
    Ok(SqliteStore::open(database).await?)
}

/// The ingress through Caddy, where the settings say so.
pub(crate) fn caddy(settings: &Settings) -> Option<CaddyIngress> {
    let caddy = settings.caddy.as_ref()?;
    let ingress = CaddyIngress::new(caddy.admin.clone())
        .domain(&settings.domain)
        .server(&*caddy.server)
        .listen(caddy.listen)
        .trusted_proxies(settings.trusted_proxies.clone());
    Some(if caddy.tls {
        ingress
    } else {
        ingress.without_tls()
    })
}

/// What builds and releases may read of this machine: never the data directory.
pub(crate) fn sandbox(settings: &Settings, data: &Path) -> Sandbox {
    let sandbox = Sandbox::new()
        .private([data])
        .tool_dirs(settings.tool_dirs.clone());
    match &settings.readable {
        Some(paths) => sandbox.readable(paths.clone()),
        None => sandbox,
    }
}

/// The builder, also for clearing up before the engine is there.
pub(crate) fn local_builder(settings: &Settings, data: &DataDir) -> LocalBuilder {
    let builder = LocalBuilder::new(data.builds()).sandbox(sandbox(settings, data.path()));
    match &settings.pass_env {
        Some(names) => builder.pass_env(names),
        None => builder,
    }
}
