//! The settings: flag over environment over file over default.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use deployr_core::value::{DomainName, InvalidValue, Network, UrlPolicy};
use serde::Deserialize;

use crate::exit::{Error, Result};

/// The file that is read where `--config` names none, in the data directory.
pub(crate) const FILE: &str = "deployr-server.toml";

const CONCURRENCY: RangeInclusive<i64> = 1..=64;
const LEASE_SECONDS: RangeInclusive<i64> = 1..=3600;

/// One layer of settings: the command line with the environment, or a file. Told in
/// `docs/configuration.md`; a test compares.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[command(next_help_heading = "Settings")]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    /// Where everything is kept [default: ./.deployr]
    #[arg(long, global = true, env = "DEPLOYR_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// A TOML file with the settings below and `data` [default: deployr-server.toml in the data directory]
    #[arg(long, global = true, env = "DEPLOYR_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The address to serve at; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, global = true, env = "DEPLOYR_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Projects are served at <name>.<DOMAIN> [default: localhost]
    #[arg(long, global = true, env = "DEPLOYR_DOMAIN", hide_short_help = true)]
    domain: Option<DomainName>,
    /// How many deployments at a time [default: 2]
    #[arg(long, global = true, env = "DEPLOYR_CONCURRENCY", value_name = "N", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(CONCURRENCY))]
    concurrency: Option<u32>,
    /// After so long without a sign of life a deployment is taken up again [default: 20]
    #[arg(long, global = true, env = "DEPLOYR_LEASE_SECONDS", value_name = "SECONDS", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(LEASE_SECONDS))]
    lease_seconds: Option<u32>,
    /// Whether folders of this machine may be deployed [default: true]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_ALLOW_LOCAL",
        value_name = "BOOL",
        hide_short_help = true
    )]
    allow_local: Option<bool>,
    /// Whether repositories may lie in private networks [default: false]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_ALLOW_PRIVATE_HOSTS",
        value_name = "BOOL",
        hide_short_help = true
    )]
    allow_private_hosts: Option<bool>,
    /// More folders that builds may read and run programs from, with colons between [default: none]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_TOOL_DIRS",
        value_name = "DIRS",
        hide_short_help = true,
        value_delimiter = ':'
    )]
    tool_dirs: Option<Vec<PathBuf>>,
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
    readable: Option<Vec<PathBuf>>,
    /// Whether the processes of releases are confined, as builds are [default: true]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_CONFINE_RELEASES",
        value_name = "BOOL",
        hide_short_help = true
    )]
    confine_releases: Option<bool>,
    /// The proxies in front of this server, with commas between, or `none` [default: 127.0.0.0/8,::1]
    #[arg(
        long,
        global = true,
        env = "DEPLOYR_TRUSTED_PROXIES",
        value_name = "NETWORKS",
        hide_short_help = true
    )]
    trusted_proxies: Option<Networks>,
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
    pass_env: Option<Vec<String>>,
}

/// The settings that hold.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Whether somebody has chosen `listen`.
    pub(crate) listen_chosen: bool,
    pub(crate) domain: DomainName,
    pub(crate) concurrency: u32,
    pub(crate) lease: Duration,
    pub(crate) allow_local: bool,
    pub(crate) allow_private_hosts: bool,
    pub(crate) tool_dirs: Vec<PathBuf>,
    /// None for the sandbox's own list.
    pub(crate) readable: Option<Vec<PathBuf>>,
    pub(crate) confine_releases: bool,
    pub(crate) trusted_proxies: Vec<Network>,
    /// None for the builder's own list.
    pub(crate) pass_env: Option<Vec<String>>,
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
            Some(path) => read(path)?,
            None => beside_the_data(self.data.as_deref().unwrap_or(Path::new(DATA)))?,
        };
        // A relative path in a file is relative to the file.
        if let (Some(data), Some(config)) = (&mut file.data, &self.config) {
            *data = config.parent().unwrap_or(Path::new("")).join(&*data);
        }
        let listen = self.listen.or(file.listen);
        Ok(Settings {
            data: absolute(&self.data.or(file.data).unwrap_or_else(|| DATA.into()))?,
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            listen_chosen: listen.is_some(),
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
        })
    }
}

const DATA: &str = ".deployr";

fn beside_the_data(data: &Path) -> Result<Layer> {
    let path = data.join(FILE);
    if !path.exists() {
        return Ok(Layer::default());
    }
    let file = read(&path)?;
    match file.data {
        Some(_) => Err(Error::usage(format!(
            "{}: `data` means nothing in a file that lies there",
            path.display()
        ))
        .hint("leave it out, or name the file with --config")),
        None => Ok(file),
    }
}

fn read(path: &Path) -> Result<Layer> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
    let layer: Layer = toml::from_str(&text)
        .map_err(|error| Error::usage(format!("{}: {error}", path.display())))?;
    // As for the flags, where the command line checks it.
    for (key, number, range) in [
        ("concurrency", layer.concurrency, CONCURRENCY),
        ("lease_seconds", layer.lease_seconds, LEASE_SECONDS),
    ] {
        if let Some(number) = number.filter(|number| !range.contains(&i64::from(*number))) {
            let (min, max, path) = (range.start(), range.end(), path.display());
            return Err(Error::usage(format!(
                "{path}: {key} must be from {min} to {max}, and is {number}"
            )));
        }
    }
    Ok(layer)
}

/// Networks as one value, so that none can be asked for too.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
struct Networks(Vec<Network>);

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

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(format!("find {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_KEY: &str = r#"
        data = "here"
        listen = "127.0.0.1:9000"
        domain = "example.com"
        concurrency = 3
        lease_seconds = 7
        allow_local = false
        allow_private_hosts = true
        tool_dirs = ["/opt/node"]
        readable = ["/usr", "/etc/passwd"]
        confine_releases = false
        trusted_proxies = ["10.0.0.0/8"]
        pass_env = ["HTTPS_PROXY", "NO_PROXY"]
    "#;

    #[test]
    fn the_command_line_wins_over_the_file_and_that_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        std::fs::write(&path, EVERY_KEY).unwrap();
        let flags = Layer {
            config: Some(path),
            concurrency: Some(9),
            ..Layer::default()
        };
        let settings = flags.resolve().unwrap();
        assert_eq!(settings.concurrency, 9);
        assert_eq!(settings.listen.port(), 9000);
        assert_eq!(settings.data, folder.path().join("here"));
        assert!(!settings.allow_local && settings.allow_private_hosts);
        assert_eq!(settings.pass_env.unwrap(), ["HTTPS_PROXY", "NO_PROXY"]);
        assert_eq!(settings.readable.unwrap().len(), 2);
        assert!(!settings.confine_releases);
        assert_eq!(
            settings.trusted_proxies,
            [Network::parse("10.0.0.0/8").unwrap()]
        );

        let defaults = Layer {
            data: Some(folder.path().into()),
            ..Layer::default()
        }
        .resolve()
        .unwrap();
        assert_eq!(
            (
                defaults.concurrency,
                defaults.listen.port(),
                defaults.listen_chosen
            ),
            (2, 8080, false)
        );
        assert_eq!(defaults.trusted_proxies, Network::LOOPBACK);
        assert!(defaults.confine_releases && defaults.readable.is_none());
    }

    #[test]
    fn a_value_in_a_file_is_held_to_the_same_rules_as_a_flag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        for (line, said) in [
            (
                "concurrency = 999",
                "concurrency must be from 1 to 64, and is 999",
            ),
            (
                "concurrency = 0",
                "concurrency must be from 1 to 64, and is 0",
            ),
            (
                "lease_seconds = 0",
                "lease_seconds must be from 1 to 3600, and is 0",
            ),
            ("domain = \"http://a.b\"", "domain is invalid"),
            ("trusted_proxies = [\"proxy\"]", "network is invalid"),
        ] {
            std::fs::write(&path, line).unwrap();
            let flags = Layer {
                config: Some(path.clone()),
                ..Layer::default()
            };
            let refused = flags.resolve().unwrap_err();
            assert_eq!(refused.exit(), crate::exit::Exit::Usage);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn the_page_about_the_configuration_has_the_list_of_what_may_be_read() {
        let page = include_str!("../../../docs/configuration.md");
        let list = page
            .split("```toml\n")
            .find(|text| text.starts_with("readable = "))
            .unwrap();
        let list: Layer = toml::from_str(list.split("```").next().unwrap()).unwrap();
        let told: Vec<_> = list.readable.unwrap();
        let known = deployr_exec::local::Sandbox::READABLE
            .iter()
            .map(PathBuf::from);
        assert_eq!(told, known.collect::<Vec<_>>());
    }

    #[test]
    fn no_proxy_at_all_can_be_asked_for() {
        let networks = |text: &str| text.parse::<Networks>().map(|networks| networks.0);
        assert_eq!(networks("none").unwrap(), []);
        assert_eq!(networks("").unwrap(), []);
        assert_eq!(networks("::1, 10.0.0.0/8").unwrap().len(), 2);
        assert!(networks("none, proxy").is_err());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Layer>("concurency = 3").unwrap_err();
        assert!(error.to_string().contains("concurency"), "{error}");
    }

    #[test]
    fn the_page_about_the_configuration_has_every_setting_and_no_other() {
        let page = include_str!("../../../docs/configuration.md");
        let error = toml::from_str::<Layer>("no_such_key = 1").unwrap_err();
        let (_, known) = error.message().split_once("expected one of").unwrap();
        let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let row = |line: &'static str| {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
            let (_, key, flag, variable) =
                (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
            variable
                .starts_with("DEPLOYR_")
                .then_some((key, flag, variable))
        };
        let mut told = Vec::new();
        for (key, flag, variable) in page.lines().filter_map(row) {
            assert_eq!(flag, format!("--{}", key.replace('_', "-")));
            assert_eq!(variable, format!("DEPLOYR_{}", key.to_uppercase()));
            assert!(
                EVERY_KEY.contains(&format!(" {key} = ")),
                "{key} is not tested"
            );
            told.push(key);
        }
        known.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, known);
    }
}
