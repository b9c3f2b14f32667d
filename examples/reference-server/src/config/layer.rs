//! What can be set: the flags, the variables and the keys of the file.

#[cfg(any(feature = "cpanel", feature = "ssh"))]
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use deployr_core::value::{DomainName, InvalidValue, Network};
#[cfg(feature = "cpanel")]
use deployr_exec::cpanel::CpanelTarget;
use deployr_exec::ingress::AdminAddress;
use deployr_exec::ingress::caddy::InvalidAddress;
use serde::Deserialize;

use super::database::Database;
#[cfg(feature = "ssh")]
use crate::ssh::Servers;

pub(super) const CONCURRENCY: RangeInclusive<i64> = 1..=64;
pub(super) const SWARM_REPLICAS: RangeInclusive<i64> = 1..=1_000;
pub(super) const LEASE_SECONDS: RangeInclusive<i64> = 1..=3600;
pub(super) const KEEP_LOG_DAYS: RangeInclusive<i64> = 1..=36_500;

/// One layer of settings: the command line with the environment, or a file. Told in
/// `docs/configuration.md`; a test compares.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[command(next_help_heading = "Settings")]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    /// Where everything is kept [default: ./.deployr]
    #[arg(long, global = true, env = "DEPLOYR_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// A TOML file with the settings below and `data` [default: deployr-server.toml in the data directory]
    #[arg(long, global = true, env = "DEPLOYR_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
    /// The Postgres of many machines, instead of a file in the data directory [default: none]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) database: Option<Database>,
    /// The name of this machine among many: its targets are `local:<NODE>` and `docker:<NODE>`
    /// [default: none, and they are `local` and `docker`]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_NODE",
        value_name = "NODE",
        hide_short_help = true
    )]
    pub(super) node: Option<String>,
    /// The address to serve at; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, global = true, env = "DEPLOYR_LISTEN", value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// The address to serve metrics for Prometheus at, for `serve` and `worker` [default: none]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_METRICS_LISTEN",
        value_name = "ADDRESS",
        hide_short_help = true
    )]
    pub(super) metrics_listen: Option<SocketAddr>,
    /// The socket of the Docker engine, for the target `docker` [default: /var/run/docker.sock]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_DOCKER_SOCKET",
        value_name = "PATH",
        hide_short_help = true
    )]
    pub(super) docker_socket: Option<PathBuf>,
    /// The image that commands are run in there, and what they build, as `node:22` [default: none]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_DOCKER_IMAGE",
        value_name = "IMAGE",
        hide_short_help = true
    )]
    pub(super) docker_image: Option<String>,
    /// Whether a Dockerfile may be built by BuildKit, which has secrets but no limits [default: false]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_DOCKER_BUILDKIT",
        value_name = "BOOL",
        hide_short_help = true
    )]
    pub(super) docker_buildkit: Option<bool>,
    /// How many tasks a release has on the target `swarm` [default: 1]
    #[arg(long, global = true, env = "DEPLOYR_SWARM_REPLICAS", value_name = "N", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(SWARM_REPLICAS))]
    pub(super) swarm_replicas: Option<u32>,
    /// Where these may be, as `node.labels.disk==ssd`, with commas between [default: anywhere]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_SWARM_CONSTRAINTS",
        value_name = "LIST",
        hide_short_help = true,
        value_delimiter = ','
    )]
    pub(super) swarm_constraints: Option<Vec<String>>,
    /// Projects are served at <name>.<DOMAIN> [default: localhost]
    #[arg(long, global = true, env = "DEPLOYR_DOMAIN", hide_short_help = true)]
    pub(super) domain: Option<DomainName>,
    /// What serves the projects: `builtin`, or `caddy` by its admin API [default: builtin]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_INGRESS",
        value_name = "KIND",
        hide_short_help = true
    )]
    pub(super) ingress: Option<IngressKind>,
    /// Caddy's admin API, as ADDRESS:PORT or unix//SOCKET [default: localhost:2019]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_CADDY_ADMIN",
        value_name = "ADDRESS",
        hide_short_help = true
    )]
    pub(super) caddy_admin: Option<CaddyAdmin>,
    /// The server in Caddy's configuration that gets the routes; made where there is none of
    /// the name [default: deployr]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_CADDY_SERVER",
        value_name = "NAME",
        hide_short_help = true
    )]
    pub(super) caddy_server: Option<String>,
    /// Where that server listens, if it has to be made [default: [::]:443]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_CADDY_LISTEN",
        value_name = "ADDRESS",
        hide_short_help = true
    )]
    pub(super) caddy_listen: Option<SocketAddr>,
    /// Whether that server speaks HTTPS, with certificates that Caddy gets [default: true]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_CADDY_TLS",
        value_name = "BOOL",
        hide_short_help = true
    )]
    pub(super) caddy_tls: Option<bool>,
    /// The name servers that are asked whose a domain is, with commas between [default: those
    /// of this machine]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_RESOLVER",
        value_name = "ADDRESSES",
        hide_short_help = true,
        value_delimiter = ','
    )]
    pub(super) resolver: Option<Vec<SocketAddr>>,
    /// How many deployments at a time [default: 2]
    #[arg(long, global = true, env = "DEPLOYR_CONCURRENCY", value_name = "N", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(CONCURRENCY))]
    pub(super) concurrency: Option<u32>,
    /// After so long without a sign of life a deployment is taken up again [default: 20]
    #[arg(long, global = true, env = "DEPLOYR_LEASE_SECONDS", value_name = "SECONDS", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(LEASE_SECONDS))]
    pub(super) lease_seconds: Option<u32>,
    /// For how many days logs are kept; those of a project's newest 20 deployments always
    /// [default: 30]
    #[arg(long, global = true, env = "DEPLOYR_KEEP_LOG_DAYS", value_name = "DAYS", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(KEEP_LOG_DAYS))]
    pub(super) keep_log_days: Option<u32>,
    /// Whether folders of this machine may be deployed [default: true]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_ALLOW_LOCAL",
        value_name = "BOOL",
        hide_short_help = true
    )]
    pub(super) allow_local: Option<bool>,
    /// Whether repositories may lie in private networks [default: false]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_ALLOW_PRIVATE_HOSTS",
        value_name = "BOOL",
        hide_short_help = true
    )]
    pub(super) allow_private_hosts: Option<bool>,
    /// More folders that builds may read and run programs from, with colons between [default: none]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_TOOL_DIRS",
        value_name = "DIRS",
        hide_short_help = true,
        value_delimiter = ':'
    )]
    pub(super) tool_dirs: Option<Vec<PathBuf>>,
    /// What of the system builds and releases may read, with colons between, instead of the
    /// list in docs/configuration.md
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_READABLE",
        value_name = "PATHS",
        hide_short_help = true,
        value_delimiter = ':'
    )]
    pub(super) readable: Option<Vec<PathBuf>>,
    /// Whether the processes of releases are confined, as builds are [default: true]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_CONFINE_RELEASES",
        value_name = "BOOL",
        hide_short_help = true
    )]
    pub(super) confine_releases: Option<bool>,
    /// The proxies in front of this server, with commas between, or `none` [default: 127.0.0.0/8,::1]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_TRUSTED_PROXIES",
        value_name = "NETWORKS",
        hide_short_help = true
    )]
    pub(super) trusted_proxies: Option<Networks>,
    /// Variables of this process that builds get, with commas between [default: those of
    /// proxies, certificates and package mirrors]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_PASS_ENV",
        value_name = "NAMES",
        hide_short_help = true,
        value_delimiter = ','
    )]
    pub(super) pass_env: Option<Vec<String>>,
    /// Accounts of shared hosts as targets; in a file only.
    #[cfg(feature = "cpanel")]
    #[arg(skip)]
    #[serde(default)]
    pub(super) cpanel: BTreeMap<String, CpanelTarget>,
    /// Servers as targets; in a file only.
    #[cfg(feature = "ssh")]
    #[arg(skip)]
    #[serde(default)]
    pub(super) ssh: BTreeMap<String, Servers>,
}

/// What serves the projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IngressKind {
    Builtin,
    Caddy,
}

/// Where Caddy's admin API is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct CaddyAdmin(pub(super) AdminAddress);

impl FromStr for CaddyAdmin {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidAddress> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for CaddyAdmin {
    type Error = InvalidAddress;

    fn try_from(text: String) -> std::result::Result<Self, InvalidAddress> {
        text.parse()
    }
}

/// Networks as one value, so that none can be asked for too.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Networks(pub(super) Vec<Network>);

impl FromStr for Networks {
    type Err = InvalidValue;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidValue> {
        let networks = text.split(',').map(str::trim);
        let networks = networks.filter(|text| !["", "none"].contains(text));
        networks
            .map(Network::parse)
            .collect::<std::result::Result<_, _>>()
            .map(Self)
    }
}
