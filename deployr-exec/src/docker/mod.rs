//! A Docker engine on this host (Linux) as builder and as target.
//!
//! A release is an image, by digest, and the container that runs it, in a network that
//! deployr makes: it is reached there by its address, which it keeps, and publishes no port.
//! What says which releases are placed, which is present and whose turn it was lies in a
//! folder of this host, as for the [local executor](crate::local::run), so that it outlives
//! the engine, the containers and deployr itself. Releases that are only files need no
//! container: the ingress serves them from there.
//!
//! | on the engine | is called |
//! | --- | --- |
//! | the image of a release | `deployr-<instance>/<project>:<number>` |
//! | its container | `deployr-<instance>-<project>-<number>` |
//! | the network of all | `deployr-<instance>` |
//! | the volume of a shared folder | `deployr-<instance>-<project>-<hash of the path>` |
//!
//! All bear the labels `deployr.instance`, `deployr.project` and, where they are of one,
//! `deployr.release`. Nothing without the label of this instance is ever touched.
//!
//! The engine must be one whose containers can be reached from here by their addresses: not
//! one in a virtual machine (Docker Desktop), nor one without root's rights.

mod archive;
mod build;
mod client;
mod command;
#[cfg(feature = "compose")]
pub mod compose;
mod container;
mod disk;
mod ignore;
mod image;
mod limits;
mod logins;
mod naming;
mod network;
mod objects;
mod output;
mod place;
mod plan;
mod program;
mod remove;
mod run;
mod steps;
#[cfg(feature = "swarm")]
pub mod swarm;
mod tidy;
mod usage;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use deployr_core::error::{Fault, StepResult, Verdict, VerdictCode};
use deployr_core::value::Slug;
use tokio::sync::{Mutex, OnceCell};

pub use build::{BuildLimits, DockerBuilder};
pub use disk::{DiskUse, Left, Leftover};
pub use limits::RunLimits;
pub use logins::remove_stale_logins;
pub use usage::Usage;

use crate::local::blocking;
use crate::local::run::LocalExecutor;
use crate::local::run::layout::Layout;
use client::Client;
use naming::Instance;

/// A Docker engine of this host as a target. Cheap to clone.
///
/// Containers go on when the last clone is dropped or deployr ends, and come up again with
/// the engine; the next [`start`](deployr_core::executor::Executor::start) finds them.
///
/// A release runs without privileges and capabilities, within [`RunLimits`], as a user whom
/// its image does not know; that of a Dockerfile as the user whom it names, with the few
/// capabilities that root needs to become another.
///
/// ```
/// use deployr_exec::docker::{DockerExecutor, RunLimits};
///
/// let executor = DockerExecutor::new("/var/lib/deployr/docker")
///     .base_image("node:22-slim")
///     .limits(RunLimits { memory_bytes: Some(512 << 20), ..RunLimits::default() });
/// ```
#[derive(Debug, Clone)]
pub struct DockerExecutor {
    root: PathBuf,
    client: Arc<Client>,
    base_image: Option<String>,
    limits: RunLimits,
    files: LocalExecutor,
    instance: Arc<OnceCell<Instance>>,
    addresses: Arc<Mutex<()>>,
}

impl DockerExecutor {
    /// Where an engine listens that nobody has told otherwise.
    pub const SOCKET: &str = "/var/run/docker.sock";

    /// An executor for the engine at [`SOCKET`](Self::SOCKET), which keeps what it knows
    /// below `root`. Neither is asked for before it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            files: LocalExecutor::new(&root),
            root,
            client: Arc::new(Client::new(Self::SOCKET.into())),
            base_image: None,
            limits: RunLimits::default(),
            instance: Arc::default(),
            addresses: Arc::default(),
        }
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.client = Arc::new(Client::new(path.into()));
        self
    }

    /// The image that folders are run on, as `node:22-slim`; fetched when it is first needed,
    /// with the engine's own configuration. It must have `/bin/sh`, and what the build's
    /// files need to run. Without one, only what a Dockerfile makes can be run.
    #[must_use]
    pub fn base_image(mut self, image: impl Into<String>) -> Self {
        self.base_image = Some(image.into());
        self
    }

    /// What the container of one release may use.
    #[must_use]
    pub fn limits(mut self, limits: RunLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The engine's version and where it listens, if it can be used.
    ///
    /// # Errors
    ///
    /// A fault where it does not answer, or where its containers cannot be reached from this
    /// host; it says what to do.
    pub async fn check_engine(&self) -> StepResult<String> {
        let docker = self.client.docker().await?;
        let socket = self.client.socket().display();
        let info = self.client.step("asking", &socket, docker.info().await)?;
        let options = info.security_options.unwrap_or_default();
        let rootless = options.iter().any(|option| option.contains("rootless"));
        let system = info.operating_system.unwrap_or_default();
        if rootless || system.contains("Docker Desktop") {
            let reason = "the containers of such an engine cannot be reached by their addresses; \
                          use one that runs as root, on this machine itself";
            return Err(Fault::permanent("using", &socket, reason).into());
        }
        let version = info.server_version.unwrap_or_default();
        Ok(format!("{version} at {socket}"))
    }

    #[cfg(feature = "compose")]
    fn root(&self) -> &Path {
        &self.root
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn base(&self) -> Option<&str> {
        self.base_image.as_deref()
    }

    /// The image that folders run on.
    fn needs_base(&self) -> Result<&str, Verdict> {
        let message = "this target has no base image, on which the build's files could run; \
                       set one (the server: `docker_image`), or add a Dockerfile to the repository";
        self.base()
            .ok_or_else(|| Verdict::new(VerdictCode::Unsupported, message))
    }

    fn run_limits(&self) -> &RunLimits {
        &self.limits
    }

    fn addresses(&self) -> &Mutex<()> {
        &self.addresses
    }

    fn files(&self) -> &LocalExecutor {
        &self.files
    }

    fn layout(&self, slug: &Slug) -> Layout {
        Layout::new(&self.root, slug)
    }

    async fn instance(&self) -> StepResult<Instance> {
        let read = async || {
            let root: PathBuf = Path::to_owned(&self.root);
            blocking(move || Instance::of(&root)).await
        };
        self.instance.get_or_try_init(read).await.cloned()
    }
}
