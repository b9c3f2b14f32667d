//! Where deployr builds and what it deploys to: builders, executors and ingress for
//! [`deployr_core`].
//!
#![cfg_attr(
    all(
        feature = "builtin-ingress",
        feature = "local-builder",
        feature = "local-executor"
    ),
    doc = "```no_run"
)]
#![cfg_attr(
    not(all(
        feature = "builtin-ingress",
        feature = "local-builder",
        feature = "local-executor"
    )),
    doc = "```ignore"
)]
//! use std::sync::Arc;
//!
//! use deployr_core::engine::Engine;
//! use deployr_exec::{BuiltinIngress, LocalBuilder, LocalExecutor};
//!
//! # async fn parts() -> Result<(), deployr_core::error::Fault> {
//! let parts = Engine::builder()
//!     .builder(Arc::new(LocalBuilder::new("/var/lib/deployr/builds")))
//!     .executor("local", Arc::new(LocalExecutor::new("/var/lib/deployr/sites")))
//!     .ingress(Arc::new(BuiltinIngress::bind(([127, 0, 0, 1], 8080).into()).await?));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! Each compiles alone; the first three are on by default.
//!
//! * `local-builder`: builds as confined processes on this host, with [`framework`] presets.
//! * `local-executor`: releases as folders and supervised processes on this host.
//! * `builtin-ingress`: an in-process reverse proxy and static file server.
//! * `caddy-ingress`: routes of a Caddy, kept through its admin API.
//! * `compose`: releases as the services of a compose file, on a Docker engine.
//! * `cpanel`: releases on accounts of shared hosts, over cPanel's HTTP API.
//! * `dns`: looks up whose a domain is.
//! * `docker`: builds in, and releases as, containers of a Docker engine on this host.
//! * `ssh`: releases on servers, over the `ssh` program.
//! * `swarm`: releases as services of a Docker Swarm.

#[cfg(feature = "cpanel")]
pub mod cpanel;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "docker")]
pub mod docker;
#[cfg(feature = "local-builder")]
pub mod framework;
#[cfg(any(feature = "cpanel", feature = "local-executor", feature = "ssh"))]
pub mod health;
#[cfg(any(feature = "builtin-ingress", feature = "caddy-ingress"))]
pub mod ingress;
#[cfg(any(feature = "cpanel", feature = "local-executor", feature = "ssh"))]
mod left;
#[cfg(any(feature = "local-builder", feature = "local-executor"))]
pub mod local;
#[cfg(any(feature = "cpanel", feature = "ssh"))]
mod remote;
#[cfg(feature = "ssh")]
pub mod ssh;
#[cfg(any(feature = "cpanel", feature = "docker", feature = "local-executor"))]
mod workers;

#[cfg(feature = "cpanel")]
pub use cpanel::{CpanelExecutor, CpanelTarget};
#[cfg(feature = "dns")]
pub use dns::DnsResolver;
#[cfg(feature = "compose")]
pub use docker::compose::ComposeExecutor;
#[cfg(feature = "swarm")]
pub use docker::swarm::SwarmExecutor;
#[cfg(feature = "docker")]
pub use docker::{DockerBuilder, DockerExecutor};
#[cfg(feature = "builtin-ingress")]
pub use ingress::BuiltinIngress;
#[cfg(feature = "caddy-ingress")]
pub use ingress::CaddyIngress;
#[cfg(any(feature = "local-builder", feature = "local-executor"))]
pub use local::Sandbox;
#[cfg(feature = "local-builder")]
pub use local::build::LocalBuilder;
#[cfg(feature = "local-executor")]
pub use local::run::LocalExecutor;
#[cfg(feature = "ssh")]
pub use ssh::{SshExecutor, SshTarget};
