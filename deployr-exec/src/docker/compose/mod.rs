//! Releases as the services of a compose file, on a Docker engine of this host (Linux).
//!
//! The file is resolved by the compose tool itself, and what comes out is run only if all of
//! it is allowed ([`Refused`] says what is not, and why): so no variable, anchor or default
//! hides what a service would be given. Each release is a *generation* beside the one before:
//! its services, in networks of its own, under names with its number. The ingress leads to one
//! of them; the old generation is stopped once it has drained.
//!
//! A service with a volume, or with a port of the host, cannot be there twice. It is *kept*:
//! started once, made known in the networks of each generation by its name, and changed in
//! place only when its part of the file or its image changes; the log says so before. The
//! volumes of the service that the ingress leads to are shared by the old and the new one.
//!
//! The project's environment can be named in the file (`${NAME}`), and is given to the
//! services of the generation; those that are kept get what the file gives them.
//!
//! | on the engine | is called |
//! | --- | --- |
//! | a generation | `deployr-<instance>-<project>_<number>` |
//! | what is kept | `deployr-<instance>-<project>` |
//! | the container that the ingress leads to | `deployr-<instance>-<project>-<number>` |
//! | an image that was built | `deployr-<instance>/<project>/<service>:<number>` |
//!
//! Recipes of other kinds are run as by a [`DockerExecutor`].

mod images;
mod kept;
mod model;
mod parts;
mod place;
mod remove;
mod resolved;
mod rules;
mod steps;
mod tool;
mod up;

use std::sync::Arc;

use deployr_core::error::StepResult;

pub use rules::Refused;

use super::DockerExecutor;
use resolved::Resolved;
use tool::Tool;

/// A Docker engine of this host as a target for compose files. Cheap to clone.
///
/// It needs the compose tool: `docker compose`, or `docker-compose` from 1.28 on.
///
/// ```
/// use deployr_exec::docker::DockerExecutor;
/// use deployr_exec::docker::compose::ComposeExecutor;
///
/// let executor = ComposeExecutor::new(DockerExecutor::new("/var/lib/deployr/docker"));
/// ```
#[derive(Debug, Clone)]
pub struct ComposeExecutor {
    docker: DockerExecutor,
    tool: Arc<Tool>,
    resolved: Arc<Resolved>,
}

impl ComposeExecutor {
    /// One that uses the engine, the limits and the folder of `docker`. Nothing is asked for
    /// before it is needed.
    #[must_use]
    pub fn new(docker: DockerExecutor) -> Self {
        let socket = docker.client().socket().to_owned();
        Self {
            docker,
            tool: Arc::new(Tool::new(socket)),
            resolved: Arc::default(),
        }
    }

    /// The compose tool's version, as `1.29.2`.
    ///
    /// # Errors
    ///
    /// A fault where there is none, which says how to get one.
    pub async fn tool_version(&self) -> StepResult<String> {
        self.tool.version().await
    }
}
