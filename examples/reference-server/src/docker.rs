//! The Docker engine of this machine as a target.

use deployr_core::engine::EngineBuilder;

use crate::config::Settings;
use crate::data::DataDir;

#[cfg(feature = "docker")]
mod with {
    use std::sync::Arc;

    use deployr_core::error::StepError;
    use deployr_exec::docker::{DockerBuilder, DockerExecutor};

    use super::*;

    fn executor(settings: &Settings, data: &DataDir) -> DockerExecutor {
        let executor = DockerExecutor::new(data.docker());
        let executor = match &settings.docker_socket {
            Some(socket) => executor.socket(socket),
            None => executor,
        };
        match &settings.docker_image {
            Some(image) => executor.base_image(image),
            None => executor,
        }
    }

    fn builder(settings: &Settings, data: &DataDir) -> DockerBuilder {
        let builder = DockerBuilder::new(data.docker_builds());
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

    /// Makes it a target. Docker is not asked for before somebody deploys there. Releases are
    /// looked for in one directory, builds may be in another.
    pub(crate) fn add(
        engine: EngineBuilder,
        settings: &Settings,
        releases: &DataDir,
        builds: &DataDir,
    ) -> EngineBuilder {
        let executor = Arc::new(executor(settings, releases));
        let builder = Arc::new(builder(settings, builds));
        engine.target(settings.docker_target.as_str(), executor, builder)
    }

    /// Clears up after a deployr that died, where it ever was used.
    pub(crate) async fn remove_stale(settings: &Settings, data: &DataDir) -> Result<(), String> {
        let word = |error: StepError| error.to_string();
        if data.docker_builds().exists() {
            builder(settings, data).remove_stale().await.map_err(word)?;
        }
        if data.docker().exists() {
            executor(settings, data)
                .remove_stale()
                .await
                .map_err(word)?;
        }
        Ok(())
    }

    /// The engine's version, or why there is none to use.
    pub(crate) async fn engine(settings: &Settings, data: &DataDir) -> Result<String, String> {
        let answer = executor(settings, data).check_engine().await;
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

    pub(crate) async fn engine(_: &Settings, _: &DataDir) -> Result<String, String> {
        Err("this deployr was built without its feature `docker`".to_owned())
    }
}

#[cfg(feature = "docker")]
pub(crate) use with::*;
#[cfg(not(feature = "docker"))]
pub(crate) use without::*;
