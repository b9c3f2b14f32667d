//! The settings: flag over environment over file over default.

mod database;
mod file;
mod layer;
#[cfg(test)]
mod tests;

#[cfg(feature = "ssh")]
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deployr_core::store::Retention;
use deployr_core::value::{DomainName, Network, TargetName, UrlPolicy};
#[cfg(feature = "ssh")]
use deployr_exec::ssh::SshExecutor;

pub(crate) use database::Database;
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
    /// Servers as targets.
    #[cfg(feature = "ssh")]
    pub(crate) ssh: BTreeMap<TargetName, SshExecutor>,
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
        let target = match &node {
            Some(node) => format!("local:{node}"),
            None => "local".into(),
        };
        let listen = self.listen.or(file.listen);
        Ok(Settings {
            node: node.unwrap_or_else(|| "this machine".into()),
            database: self.database.or(file.database),
            target: TargetName::parse(&target)
                .map_err(|error| Error::usage(format!("node: {error}")))?,
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
