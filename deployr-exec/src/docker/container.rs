//! What a release's container is: pure, and so the same wherever it is made.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig,
    ImageConfig, Mount, MountType, MountVolumeOptions, NetworkingConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Runtime;
use deployr_core::value::RelPath;

use super::limits::{LOG_DRIVER, RunLimits};
use super::naming::{Instance, RELEASE, RELEASE_ID};

/// Where the files of a release are that came as a folder.
pub(super) const APP: &str = "app";
/// Whom it runs as then: nobody that any image knows.
pub(super) const USER: u64 = 10_001;
/// Where a release listens that does not say otherwise.
const PORT: u16 = 8080;

/// What a process that starts as root needs to set itself up and to give root up. A folder's
/// release never is root, and has none.
pub(super) const CAPABILITIES: [&str; 6] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SETGID",
    "SETUID",
];

/// All that a container is made of.
#[derive(Debug)]
pub(super) struct Blueprint<'a> {
    pub(super) instance: &'a Instance,
    pub(super) spec: &'a ReleaseSpec,
    pub(super) limits: &'a RunLimits,
    /// The id of the image, and what it says of itself.
    pub(super) image: &'a str,
    pub(super) config: &'a ImageConfig,
    /// Whether deployr made the image of a folder.
    pub(super) of_folder: bool,
    /// What it runs instead of the release.
    pub(super) instead: Option<&'a str>,
}

impl Blueprint<'_> {
    pub(super) fn body(&self, address: Ipv4Addr) -> ContainerCreateBody {
        let Self {
            instance, limits, ..
        } = self;
        let network = instance.network();
        let shell = self.shell();
        ContainerCreateBody {
            image: Some(self.image.to_owned()),
            env: Some(self.env(|_| true)),
            // This is how Docker is told that there shall be none.
            entrypoint: shell.as_ref().map(|_| vec![String::new()]),
            // A line brings no process along that looks after its children.
            host_config: Some(HostConfig {
                init: shell.as_ref().map(|_| true),
                memory: limits.memory_bytes.map(signed),
                memory_swap: limits.memory_bytes.map(signed),
                nano_cpus: limits.nano_cpus(),
                pids_limit: limits.processes.map(signed),
                storage_opt: limits
                    .disk_bytes
                    .map(|bytes| [("size".to_owned(), bytes.to_string())].into()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: (!self.of_folder).then(|| CAPABILITIES.map(str::to_owned).to_vec()),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                network_mode: Some(network.clone()),
                mounts: Some(self.volumes()),
                log_config: Some(HostConfigLogConfig {
                    typ: Some(LOG_DRIVER.to_owned()),
                    config: Some(limits.log_options()),
                }),
                restart_policy: Some(restarts(false)),
                ..HostConfig::default()
            }),
            cmd: shell,
            working_dir: self.of_folder.then(|| format!("/{APP}")),
            user: self.user().map(|user| format!("{user}:{user}")),
            labels: Some(self.labels()),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(
                    network,
                    EndpointSettings {
                        ipam_config: Some(EndpointIpamConfig {
                            ipv4_address: Some(address.to_string()),
                            ..EndpointIpamConfig::default()
                        }),
                        ..EndpointSettings::default()
                    },
                )])),
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// Whom it runs as; none where the image says.
    pub(super) fn user(&self) -> Option<u64> {
        self.of_folder.then_some(USER)
    }

    /// By these the steps find it. What is no release is neither stopped nor removed as one.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let mut labels = self.instance.labels(&self.spec.slug);
        if self.instead.is_none() {
            labels.insert(RELEASE.to_owned(), self.spec.number.to_string());
            labels.insert(RELEASE_ID.to_owned(), self.spec.release.to_string());
        }
        labels
    }

    /// The command; none where the image has its own.
    pub(super) fn shell(&self) -> Option<Vec<String>> {
        let line = self.instead.map(str::to_owned).or_else(|| self.line());
        line.map(|line| vec!["/bin/sh".to_owned(), "-c".to_owned(), line])
    }

    /// What the release runs; none where that is the image's own command. What it prepares
    /// is written into the container, so each does it by itself.
    fn line(&self) -> Option<String> {
        let Runtime::Process { start } = &self.spec.recipe.runtime else {
            return None;
        };
        Some(match &self.spec.recipe.on_target.prepare {
            Some(prepare) => format!("(\n{prepare}\n) || exit\n{start}"),
            None => start.to_string(),
        })
    }

    /// What programs cannot do without, then those of the project's own that are `wanted`,
    /// then what is so.
    pub(super) fn env(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut env = Vec::new();
        if self.of_folder {
            let defaults = [
                ("HOME", "/tmp"),
                ("TMPDIR", "/tmp"),
                ("LANG", "C.UTF-8"),
                ("NODE_ENV", "production"),
                ("HOST", "0.0.0.0"),
            ];
            let unset = |name: &str| self.spec.env.get(name).is_none();
            let defaults = defaults.iter().filter(|(name, _)| unset(name));
            env.extend(defaults.map(|(name, value)| format!("{name}={value}")));
        }
        let own = self.spec.env.iter();
        let own = own.filter(|(name, _)| {
            let name = name.as_str();
            name != "PORT" && !self.spec.recipe.images.is_password(name) && wanted(name)
        });
        env.extend(own.map(|(name, value)| format!("{name}={}", value.expose())));
        env.push(format!("PORT={}", self.port()));
        env.push(format!("DEPLOYR_RELEASE={}", self.spec.number));
        env
    }

    /// Where it listens: what the project says, else what the image says.
    pub(super) fn port(&self) -> u16 {
        let said = self
            .spec
            .env
            .get("PORT")
            .and_then(|port| port.expose().parse().ok());
        let exposed = self.config.exposed_ports.iter().flatten();
        let mut tcp = exposed.filter_map(|port| match port.split_once('/') {
            Some((port, "tcp")) => port.parse().ok(),
            Some(_) => None,
            None => port.parse().ok(),
        });
        let one = match (tcp.next(), tcp.next()) {
            (Some(port), None) => Some(port),
            _ => None,
        };
        said.or(one).filter(|port| *port != 0).unwrap_or(PORT)
    }

    /// The volumes of what all releases share. A new one begins with what the image has there.
    pub(super) fn volumes(&self) -> Vec<Mount> {
        let Self { instance, spec, .. } = self;
        let dir = match self.of_folder {
            true => format!("/{APP}"),
            false => self.config.working_dir.clone().unwrap_or_default(),
        };
        let dir = dir.trim_end_matches('/');
        let volume = |path: &RelPath| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(instance.volume(&spec.slug, path)),
            target: Some(format!("{dir}/{path}")),
            volume_options: Some(MountVolumeOptions {
                labels: Some(instance.labels(&spec.slug)),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        };
        shared_folders(&spec.recipe.shared).map(volume).collect()
    }
}

/// Those of the shared paths that are folders, as far as their names say, and not in another.
pub(super) fn shared_folders(paths: &[RelPath]) -> impl Iterator<Item = &RelPath> {
    let inside = move |path: &RelPath| {
        let mut others = paths.iter().filter(|other| *other != path);
        others.any(|other| path.as_path().starts_with(other.as_path()))
    };
    paths
        .iter()
        .filter(move |path| !is_file(path) && !inside(path))
}

/// A container shares folders only, and what has a dot in its name is taken for a file.
pub(super) fn is_file(path: &RelPath) -> bool {
    let name = path.as_path().file_name();
    path.as_str() == "." || name.is_some_and(|name| name.as_encoded_bytes().contains(&b'.'))
}

/// The present release comes up again by itself, with the engine and after a crash.
///
/// Not `unless-stopped`: an engine that was killed stops what it finds running when it
/// starts again, and some then hold that to be a person's wish.
pub(super) fn restarts(present: bool) -> RestartPolicy {
    RestartPolicy {
        name: Some(match present {
            true => RestartPolicyNameEnum::ALWAYS,
            false => RestartPolicyNameEnum::NO,
        }),
        maximum_retry_count: None,
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
