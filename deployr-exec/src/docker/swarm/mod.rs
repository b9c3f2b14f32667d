//! Releases as services of a Docker Swarm (Linux), of which the engine of this host is a
//! manager: for those who need more than one container of a release, or a placement.
//!
//! A release is a *service of its own* beside that of the release before, not an update of one
//! service: so every replica of the new one is healthy before a request reaches it, no page is
//! of both, and the way back is as short. The ingress leads to the port that the service
//! publishes, and the old service goes when its last request has ended. Swarm's own rolling
//! update is what happens within a release: tasks that have ended are replaced, and a change of
//! the service goes task by task, the new one first, back by itself where it fails.
//!
//! One replica, on this host, publishes its port there. More of them are reached through the
//! swarm's routing mesh, for which the kernel must have IPVS. The image of a release is on this
//! host only, so its tasks are here, too.
//!
//! A variable goes into the service as it is, byte for byte. Where a project also sets
//! `NAME_FILE=/run/secrets/NAME`, as images with Docker's secrets in mind expect it, `NAME`
//! becomes a secret of the swarm that is mounted there, and no variable.
//!
//! | in the swarm | is called |
//! | --- | --- |
//! | the service of a release | `deployr-<instance>-<project>-<number>` |
//! | the network of a project | `deployr-<instance>-<project>` |
//! | a secret | `deployr-<instance>-<hash>` |
//!
//! Releases that are only files need no service: the ingress serves them from this host.

mod node;
mod output;
mod port;
mod remove;
mod secrets;
mod service;
mod steps;
mod tasks;
mod up;
mod verify;

use deployr_core::error::StepResult;

use super::DockerExecutor;

/// A Docker Swarm as a target. Cheap to clone.
///
/// ```
/// use deployr_exec::docker::DockerExecutor;
/// use deployr_exec::docker::swarm::SwarmExecutor;
///
/// let executor = SwarmExecutor::new(DockerExecutor::new("/var/lib/deployr/swarm"))
///     .replicas(3)
///     .constraints(["node.labels.disk==ssd"]);
/// ```
#[derive(Debug, Clone)]
pub struct SwarmExecutor {
    docker: DockerExecutor,
    replicas: u16,
    constraints: Vec<String>,
}

impl SwarmExecutor {
    /// One that uses the engine, the limits and the folder of `docker`, with one replica of each
    /// release. Nothing is asked for before it is needed.
    #[must_use]
    pub fn new(docker: DockerExecutor) -> Self {
        Self {
            docker,
            replicas: 1,
            constraints: Vec::new(),
        }
    }

    /// How many tasks a release has, all of which are healthy before requests go to it. 0 is
    /// taken for 1.
    #[must_use]
    pub fn replicas(mut self, replicas: u16) -> Self {
        self.replicas = replicas.max(1);
        self
    }

    /// Where tasks may be, in Swarm's words: `node.labels.disk==ssd`.
    #[must_use]
    pub fn constraints<S: Into<String>>(mut self, all: impl IntoIterator<Item = S>) -> Self {
        self.constraints = all.into_iter().map(Into::into).collect();
        self
    }

    /// The engine's version and how this node is known in the swarm, if it can be used.
    ///
    /// # Errors
    ///
    /// A fault where the engine does not answer or is no manager of a swarm, or where the
    /// replicas need a routing mesh that there is not; it says what to do.
    pub async fn check_swarm(&self) -> StepResult<String> {
        let engine = self.docker.check_engine().await?;
        let node = self.node().await?;
        self.check_mesh()?;
        Ok(format!("{engine}, node {} at {}", node.id, node.address))
    }
}
