//! The settings: flag over environment over file over default.

mod database;
mod file;
mod layer;
#[cfg(test)]
mod tests;

#[cfg(any(feature = "cpanel", feature = "ssh"))]
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use deployr_core::store::Retention;
use deployr_core::value::{DomainName, Network, TargetName, UrlPolicy};
#[cfg(feature = "cpanel")]
use deployr_exec::cpanel::CpanelExecutor;
#[cfg(feature = "ssh")]
use deployr_exec::ssh::SshExecutor;

use deployr_exec::ingress::AdminAddress;

pub(crate) use database::Database;
use layer::IngressKind;
pub(crate) use layer::Layer;

use crate::exit::{Error, Result};

/// The settings that hold.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    /// None for the file in the data directory.
    pub(crate) database: Option<Database>,
    /// What people call this machine.
    pub(crate) node: String,
    /// What this machine's own executor is called.
    pub(crate) target: TargetName,
    /// What this machine's Docker engine is called.
    pub(crate) docker_target: TargetName,
    /// What deploys compose files here is called.
    pub(crate) compose_target: TargetName,
    /// What deploys to the swarm of this engine is called.
    pub(crate) swarm_target: TargetName,
    #[cfg_attr(not(feature = "docker"), allow(dead_code))]
    pub(crate) swarm_replicas: u16,
    #[cfg_attr(not(feature = "docker"), allow(dead_code))]
    pub(crate) swarm_constraints: Vec<String>,
    /// None for where Docker usually listens.
    #[cfg_attr(not(feature = "docker"), allow(dead_code))]
    pub(crate) docker_socket: Option<PathBuf>,
    /// What commands and folders are run in there.
    #[cfg_attr(not(feature = "docker"), allow(dead_code))]
    pub(crate) docker_image: Option<String>,
    #[cfg_attr(not(feature = "docker"), allow(dead_code))]
    pub(crate) docker_buildkit: bool,
    pub(crate) listen: SocketAddr,
    /// Whether somebody has chosen `listen`.
    pub(crate) listen_chosen: bool,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) domain: DomainName,
    pub(crate) concurrency: u32,
    pub(crate) lease: Duration,
    pub(crate) retention: Retention,
    pub(crate) allow_local: bool,
    pub(crate) allow_private_hosts: bool,
    pub(crate) tool_dirs: Vec<PathBuf>,
    /// None for the sandbox's own list.
    pub(crate) readable: Option<Vec<PathBuf>>,
    pub(crate) confine_releases: bool,
    pub(crate) trusted_proxies: Vec<Network>,
    /// None for the builder's own list.
    pub(crate) pass_env: Option<Vec<String>>,
    /// None for the built-in ingress.
    pub(crate) caddy: Option<Caddy>,
    /// None for those of this machine.
    pub(crate) resolver: Option<Vec<SocketAddr>>,
    /// Accounts of shared hosts as targets.
    #[cfg(feature = "cpanel")]
    pub(crate) cpanel: BTreeMap<TargetName, CpanelExecutor>,
    /// Servers as targets.
    #[cfg(feature = "ssh")]
    pub(crate) ssh: BTreeMap<TargetName, SshExecutor>,
}

/// The Caddy that serves the projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caddy {
    pub(crate) admin: AdminAddress,
    pub(crate) server: String,
    pub(crate) listen: SocketAddr,
    pub(crate) tls: bool,
}

impl Settings {
    /// What a repository's address may be.
    pub(crate) fn url_policy(&self) -> UrlPolicy {
        UrlPolicy {
            allow_private_hosts: self.allow_private_hosts,
            allow_local: self.allow_local,
            allow_plain_http: self.allow_private_hosts,
        }
    }
}

impl Layer {
    /// Lays this over the file and that over the defaults.
    pub(crate) fn resolve(self) -> Result<Settings> {
        let mut file = match &self.config {
            Some(path) => file::read(path)?,
            None => file::beside_the_data(self.data.as_deref().unwrap_or(Path::new(DATA)))?,
        };
        // A relative path in a file is relative to the file.
        if let (Some(data), Some(config)) = (&mut file.data, &self.config) {
            *data = config.parent().unwrap_or(Path::new("")).join(&*data);
        }
        let node = self.node.or(file.node);
        let target = |kind: &str| {
            let name = match &node {
                Some(node) => format!("{kind}:{node}"),
                None => kind.to_owned(),
            };
            TargetName::parse(name).map_err(|error| Error::usage(format!("node: {error}")))
        };
        let (local, docker) = (target("local")?, target("docker")?);
        let (compose, swarm) = (target("compose")?, target("swarm")?);
        let listen = self.listen.or(file.listen);
        Ok(Settings {
            node: node.unwrap_or_else(|| "this machine".into()),
            database: self.database.or(file.database),
            target: local,
            docker_target: docker,
            compose_target: compose,
            swarm_target: swarm,
            swarm_replicas: self
                .swarm_replicas
                .or(file.swarm_replicas)
                .and_then(|replicas| replicas.try_into().ok())
                .unwrap_or(1),
            swarm_constraints: self
                .swarm_constraints
                .or(file.swarm_constraints)
                .unwrap_or_default(),
            docker_socket: self.docker_socket.or(file.docker_socket),
            docker_image: self.docker_image.or(file.docker_image),
            docker_buildkit: self
                .docker_buildkit
                .or(file.docker_buildkit)
                .unwrap_or(false),
            data: absolute(&self.data.or(file.data).unwrap_or_else(|| DATA.into()))?,
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            listen_chosen: listen.is_some(),
            metrics_listen: self.metrics_listen.or(file.metrics_listen),
            domain: self
                .domain
                .or(file.domain)
                .unwrap_or_else(DomainName::localhost),
            concurrency: self.concurrency.or(file.concurrency).unwrap_or(2),
            lease: Duration::from_secs(
                self.lease_seconds
                    .or(file.lease_seconds)
                    .unwrap_or(20)
                    .into(),
            ),
            retention: Retention {
                logs: DAY * self.keep_log_days.or(file.keep_log_days).unwrap_or(30),
                ..Retention::default()
            },
            allow_local: self.allow_local.or(file.allow_local).unwrap_or(true),
            allow_private_hosts: self
                .allow_private_hosts
                .or(file.allow_private_hosts)
                .unwrap_or(false),
            tool_dirs: self.tool_dirs.or(file.tool_dirs).unwrap_or_default(),
            readable: self.readable.or(file.readable),
            confine_releases: self
                .confine_releases
                .or(file.confine_releases)
                .unwrap_or(true),
            trusted_proxies: self
                .trusted_proxies
                .or(file.trusted_proxies)
                .map_or_else(|| Network::LOOPBACK.to_vec(), |networks| networks.0),
            pass_env: self.pass_env.or(file.pass_env),
            caddy: match self.ingress.or(file.ingress) {
                Some(IngressKind::Caddy) => Some(Caddy {
                    admin: self
                        .caddy_admin
                        .or(file.caddy_admin)
                        .map_or_else(AdminAddress::default, |admin| admin.0),
                    server: self
                        .caddy_server
                        .or(file.caddy_server)
                        .unwrap_or_else(|| "deployr".into()),
                    listen: self
                        .caddy_listen
                        .or(file.caddy_listen)
                        .unwrap_or_else(|| SocketAddr::from((Ipv6Addr::UNSPECIFIED, 443))),
                    tls: self.caddy_tls.or(file.caddy_tls).unwrap_or(true),
                }),
                Some(IngressKind::Builtin) | None => None,
            },
            resolver: self.resolver.or(file.resolver),
            #[cfg(feature = "cpanel")]
            cpanel: crate::cpanel::targets(&file.cpanel)?,
            #[cfg(feature = "ssh")]
            ssh: crate::ssh::targets(&file.ssh)?,
        })
    }
}

const DATA: &str = ".deployr";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(format!("find {}", path.display()), error))
}
