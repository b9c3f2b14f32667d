//! The settings: flag over environment over file over default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deployr_core::value::UrlPolicy;
use serde::Deserialize;

use crate::exit::{Error, Result};

/// The file that is read where `--config` names none, in the data directory.
pub(crate) const FILE: &str = "deployr-server.toml";

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
    domain: Option<String>,
    /// How many deployments at a time [default: 2]
    #[arg(long, global = true, env = "DEPLOYR_CONCURRENCY", value_name = "N", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: Option<u32>,
    /// After so long without a sign of life a deployment is taken up again [default: 20]
    #[arg(long, global = true, env = "DEPLOYR_LEASE_SECONDS", value_name = "SECONDS", hide_short_help = true,
        value_parser = clap::value_parser!(u32).range(1..=3600))]
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
}

/// The settings that hold.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Whether somebody has chosen `listen`.
    pub(crate) listen_chosen: bool,
    pub(crate) domain: String,
    pub(crate) concurrency: u32,
    pub(crate) lease: Duration,
    pub(crate) allow_local: bool,
    pub(crate) allow_private_hosts: bool,
    pub(crate) tool_dirs: Vec<PathBuf>,
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
                .unwrap_or_else(|| "localhost".into()),
            concurrency: self
                .concurrency
                .or(file.concurrency)
                .unwrap_or(2)
                .clamp(1, 64),
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
    toml::from_str(&text).map_err(|error| Error::usage(format!("{}: {error}", path.display())))
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
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Layer>("concurency = 3").unwrap_err();
        assert!(error.to_string().contains("concurency"), "{error}");
    }

    #[test]
    fn the_page_about_the_configuration_names_every_setting() {
        let page = include_str!("../../../docs/configuration.md");
        for line in EVERY_KEY.lines().filter(|line| line.contains('=')) {
            let key = line.split('=').next().unwrap_or_default().trim();
            assert!(page.contains(&format!("`{key}`")), "{key}");
            assert!(
                page.contains(&format!("DEPLOYR_{}", key.to_uppercase())),
                "{key}"
            );
        }
    }
}
