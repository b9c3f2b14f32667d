//! The Docker engine of this machine as targets: `docker`, `compose` for compose files, and
//! `swarm` where it is a manager of one.

use deployr_core::engine::EngineBuilder;
use deployr_core::system::Timestamp;
use deployr_core::value::{Slug, TargetName};
use serde_json::Value;

use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::Error;

/// What would go from the disk.
pub(crate) struct PrunePlan {
    /// How much there is of this deployr.
    pub(crate) bytes: u64,
    pub(crate) goes: Vec<PruneItem>,
    #[cfg(feature = "docker")]
    all: Vec<deployr_exec::docker::Left>,
}

pub(crate) struct PruneItem {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) since: Timestamp,
    pub(crate) json: Value,
}

#[cfg(feature = "docker")]
mod with {
    use std::ops::Add;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use deployr_core::error::StepError;
    use deployr_exec::docker::compose::ComposeExecutor;
    use deployr_exec::docker::swarm::SwarmExecutor;
    use deployr_exec::docker::{
        DiskUse, DockerBuilder, DockerExecutor, Leftover, Usage, remove_stale_logins,
    };
    use serde_json::json;

    use super::*;

    fn executor(settings: &Settings, folder: PathBuf) -> DockerExecutor {
        let executor = DockerExecutor::new(folder);
        let executor = match &settings.docker_socket {
            Some(socket) => executor.socket(socket),
            None => executor,
        };
        match &settings.docker_image {
            Some(image) => executor.base_image(image),
            None => executor,
        }
    }

    fn builder(settings: &Settings, folder: PathBuf) -> DockerBuilder {
        let builder = DockerBuilder::new(folder).buildkit(settings.docker_buildkit);
        let builder = match &settings.docker_socket {
            Some(socket) => builder.socket(socket),
            None => builder,
        };
        let builder = match &settings.docker_image {
            Some(image) => builder.image(image),
            None => builder,
        };
        match &settings.pass_env {
            Some(names) => builder.pass_env(names),
            None => builder,
        }
    }

    fn swarm_executor(settings: &Settings, folder: PathBuf) -> SwarmExecutor {
        SwarmExecutor::new(executor(settings, folder))
            .replicas(settings.swarm_replicas)
            .constraints(&settings.swarm_constraints)
    }

    /// Makes it three targets. Docker is not asked for before somebody deploys there. Releases are
    /// looked for in one directory, builds may be in another.
    pub(crate) fn add(
        engine: EngineBuilder,
        settings: &Settings,
        releases: &DataDir,
        builds: &DataDir,
    ) -> EngineBuilder {
        let compose = ComposeExecutor::new(executor(settings, releases.compose()));
        let services = builder(settings, builds.compose_builds()).compose(true);
        let swarm = Arc::new(swarm_executor(settings, releases.swarm()));
        let for_swarm = Arc::new(builder(settings, builds.swarm_builds()));
        let executor = Arc::new(executor(settings, releases.docker()));
        let builder = Arc::new(builder(settings, builds.docker_builds()));
        engine
            .target(settings.docker_target.as_str(), executor, builder)
            .target(
                settings.compose_target.as_str(),
                Arc::new(compose),
                Arc::new(services),
            )
            .target(settings.swarm_target.as_str(), swarm, for_swarm)
    }

    /// Clears up after a deployr that died, where it ever was used.
    pub(crate) async fn remove_stale(settings: &Settings, data: &DataDir) -> Result<(), String> {
        let word = |error: StepError| error.to_string();
        let releases = [data.docker(), data.compose(), data.swarm()];
        let builds = [
            data.docker_builds(),
            data.compose_builds(),
            data.swarm_builds(),
        ];
        // Before Docker is asked, which may be away.
        for folder in releases.iter().chain(&builds) {
            remove_stale_logins(folder).map_err(word)?;
        }
        for builds in builds {
            if builds.exists() {
                let builder = builder(settings, builds);
                builder.remove_stale().await.map_err(word)?;
            }
        }
        for releases in [data.docker(), data.compose()] {
            if releases.exists() {
                let executor = executor(settings, releases);
                executor.remove_stale().await.map_err(word)?;
            }
        }
        if data.swarm().exists() {
            let executor = swarm_executor(settings, data.swarm());
            executor.remove_stale().await.map_err(word)?;
        }
        Ok(())
    }

    /// What is to be looked at: targets and builders that have ever been used.
    fn used(settings: &Settings, data: &DataDir) -> (Vec<DockerExecutor>, Vec<DockerBuilder>) {
        let targets = [data.docker(), data.compose(), data.swarm()];
        let builds = [
            data.docker_builds(),
            data.compose_builds(),
            data.swarm_builds(),
        ];
        let targets = targets.into_iter().filter(|folder| folder.exists());
        let builds = builds.into_iter().filter(|folder| folder.exists());
        (
            targets.map(|folder| executor(settings, folder)).collect(),
            builds.map(|folder| builder(settings, folder)).collect(),
        )
    }

    /// What would go to stay within so many bytes. Changes nothing.
    pub(crate) async fn plan_prune(
        settings: &Settings,
        data: &DataDir,
        budget: u64,
    ) -> Result<PrunePlan, Error> {
        let mut found = DiskUse::default();
        let (targets, builders) = used(settings, data);
        for target in targets {
            found = found.and(target.disk_use().await?);
        }
        for builder in builders {
            found = found.and(builder.disk_use().await?);
        }
        let all = found.beyond(budget);
        let goes = all.iter().map(|left| {
            let (kind, name) = match &left.what {
                Leftover::Image { id, names } if names.is_empty() => ("image", id.clone()),
                Leftover::Image { names, .. } => ("image", names.join(", ")),
                Leftover::Cache { project } => ("cache", project.clone()),
                other => ("other", format!("{other:?}")),
            };
            PruneItem {
                kind,
                name,
                bytes: left.bytes,
                since: UNIX_EPOCH.add(Duration::from_secs(left.since)).into(),
                json: json!(left),
            }
        });
        Ok(PrunePlan {
            bytes: found.bytes,
            goes: goes.collect(),
            all,
        })
    }

    /// Removes it, where it is still left then, and says how many things that were.
    pub(crate) async fn prune(
        settings: &Settings,
        data: &DataDir,
        plan: &PrunePlan,
    ) -> Result<usize, Error> {
        let (targets, builders) = used(settings, data);
        let mut gone = 0;
        for target in targets {
            gone += target.clean_up(&plan.all).await?.len();
        }
        for builder in builders {
            gone += builder.clean_up(&plan.all).await?.len();
        }
        Ok(gone)
    }

    /// What a release uses at present, in words and as JSON; none where it is no container.
    pub(crate) async fn usage(
        settings: &Settings,
        data: &DataDir,
        target: &TargetName,
        slug: &Slug,
        number: i64,
    ) -> Option<(String, Value)> {
        let folders = [
            (&settings.docker_target, data.docker()),
            (&settings.compose_target, data.compose()),
            (&settings.swarm_target, data.swarm()),
        ];
        let (_, folder) = folders.into_iter().find(|(name, _)| *name == target)?;
        match executor(settings, folder).usage(slug, number).await {
            Ok(Usage { containers: 0, .. }) => None,
            Ok(usage) => {
                let mebi = |bytes: u64| bytes >> 20;
                let containers = match usage.containers {
                    1 => "1 container".to_owned(),
                    many => format!("{many} containers"),
                };
                let words = format!(
                    "{:.2} processors, {} of {} MiB, {} processes in {containers}",
                    usage.cpus,
                    mebi(usage.memory_bytes),
                    mebi(usage.memory_limit_bytes),
                    usage.processes,
                );
                Some((words, json!(usage)))
            }
            Err(error) => Some((
                format!("not known: {error}"),
                json!({"error": error.to_string()}),
            )),
        }
    }

    /// The engine's version, or why there is none to use.
    pub(crate) async fn engine(settings: &Settings, data: &DataDir) -> Result<String, String> {
        let answer = executor(settings, data.docker()).check_engine().await;
        answer.map_err(|error| error.to_string())
    }

    /// What the swarm knows this engine as, or why there is none to use.
    pub(crate) async fn swarm(settings: &Settings, data: &DataDir) -> Result<String, String> {
        let answer = swarm_executor(settings, data.swarm()).check_swarm().await;
        answer.map_err(|error| error.to_string())
    }

    /// The compose tool's version, or why there is none to use.
    pub(crate) async fn compose(settings: &Settings, data: &DataDir) -> Result<String, String> {
        let compose = ComposeExecutor::new(executor(settings, data.compose()));
        let answer = compose.tool_version().await;
        answer.map_err(|error| error.to_string())
    }
}

#[cfg(not(feature = "docker"))]
mod without {
    use super::*;

    pub(crate) fn add(
        engine: EngineBuilder,
        _: &Settings,
        _: &DataDir,
        _: &DataDir,
    ) -> EngineBuilder {
        engine
    }

    pub(crate) async fn remove_stale(_: &Settings, _: &DataDir) -> Result<(), String> {
        Ok(())
    }

    pub(crate) async fn plan_prune(
        settings: &Settings,
        data: &DataDir,
        _: u64,
    ) -> Result<PrunePlan, Error> {
        match engine(settings, data).await {
            Err(why) | Ok(why) => Err(Error::fault(why)),
        }
    }

    pub(crate) async fn prune(_: &Settings, _: &DataDir, plan: &PrunePlan) -> Result<usize, Error> {
        Ok(plan.goes.len())
    }

    pub(crate) async fn usage(
        _: &Settings,
        _: &DataDir,
        _: &TargetName,
        _: &Slug,
        _: i64,
    ) -> Option<(String, Value)> {
        None
    }

    pub(crate) async fn engine(_: &Settings, _: &DataDir) -> Result<String, String> {
        Err("this deployr was built without its feature `docker`".to_owned())
    }

    pub(crate) async fn compose(settings: &Settings, data: &DataDir) -> Result<String, String> {
        engine(settings, data).await
    }

    pub(crate) async fn swarm(settings: &Settings, data: &DataDir) -> Result<String, String> {
        engine(settings, data).await
    }
}

#[cfg(feature = "docker")]
pub(crate) use with::*;
#[cfg(not(feature = "docker"))]
pub(crate) use without::*;
