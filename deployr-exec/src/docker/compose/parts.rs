//! What deployr makes of a compose file: a generation, which is made anew with each release,
//! and what is kept beside all generations.
//!
//! A service that has a volume or a port of the host cannot be there twice; so it is started
//! once, and lives on while generations come and go. The service that the ingress leads to is
//! never kept: its volumes are shared by the old and the new one while both are up.

use std::collections::{BTreeMap, BTreeSet};

use deployr_core::executor::ReleaseSpec;
use deployr_core::value::{RelPath, Slug};
use serde_json::Value;

use super::super::container::CAPABILITIES;
use super::super::limits::RunLimits;
use super::super::naming::{Instance, RELEASE, RELEASE_ID};
use super::model::{Build, Model, Mount, Network, Port, Service, Volume};
use super::rules::{self, Refused};
use super::tool;

/// Marks what is kept.
pub(super) const KEPT: &str = "deployr.kept";
/// Names the network of a generation, as the compose file does.
pub(super) const NETWORK: &str = "deployr.network";

/// Where the ingress leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) service: String,
    pub(super) port: u16,
}

impl Entry {
    /// The one that is wanted; else the only one that has a port to show.
    pub(super) fn of(
        model: &Model,
        service: Option<&str>,
        port: Option<u16>,
    ) -> Result<Self, Refused> {
        let shown = |service: &Service| -> BTreeSet<u16> {
            let exposed = service.expose.iter().filter_map(|port| match port {
                Value::Number(number) => u16::try_from(number.as_u64()?).ok(),
                Value::String(text) => text.split('/').next()?.parse().ok(),
                _ => None,
            });
            let ports = service.ports.iter().filter_map(rules::container_port);
            ports.chain(exposed).collect()
        };
        let service = match service {
            Some(name) if model.services.contains_key(name) => name,
            Some(name) => {
                let all: Vec<&str> = model.services.keys().map(String::as_str).collect();
                let all = all.join(", ");
                return Err(Refused::Invalid(format!(
                    "there is no service `{name}`; there are {all}"
                )));
            }
            None => {
                let all = model.services.iter();
                let mut open = all.filter(|(_, service)| !shown(service).is_empty());
                match (open.next(), open.next(), model.services.len()) {
                    (Some((name, _)), None, _) => name,
                    (None, _, 1) => model.services.keys().next().map_or("", String::as_str),
                    _ => {
                        return Err(Refused::Invalid(
                            "no one can tell which service is to be reached from outside; name \
                             it as `service` in the table `compose` of deployr.toml"
                                .to_owned(),
                        ));
                    }
                }
            }
        };
        let ports = model.services.get(service).map(shown).unwrap_or_default();
        let only = ports.first().filter(|_| ports.len() == 1).copied();
        let port = port.or(only).ok_or_else(|| {
            Refused::Invalid(format!(
                "no one can tell on which port `{service}` listens; set `port` in the table \
                 `compose` of deployr.toml, or give the service one port"
            ))
        })?;
        Ok(Self {
            service: service.to_owned(),
            port,
        })
    }
}

/// A compose file, with all that is needed to run it as a release.
pub(super) struct Parts<'a> {
    pub(super) model: Model,
    pub(super) entry: Entry,
    pub(super) instance: &'a Instance,
    pub(super) spec: &'a ReleaseSpec,
    pub(super) limits: &'a RunLimits,
}

impl Parts<'_> {
    /// The services that live on beside the generations, and why.
    pub(super) fn kept(&self) -> BTreeMap<&str, &'static str> {
        let others = self.model.services.iter();
        let others = others.filter(|(name, _)| **name != self.entry.service);
        others
            .filter_map(|(name, service)| {
                let volume = service.volumes.iter().map(rules::long);
                let mut volume = volume.filter(|mount| mount.kind == "volume");
                let mut ports = service.ports.iter().map(rules::host_port);
                let why = if volume.any(|mount| mount.source.is_some()) {
                    "a volume"
                } else if ports.any(|port| matches!(port, Ok(Some(_)))) {
                    "a port of the host"
                } else {
                    return None;
                };
                Some((name.as_str(), why))
            })
            .collect()
    }

    /// What the generation is called on the engine.
    pub(super) fn generation_name(&self) -> String {
        format!("{}_{}", self.kept_name(), self.spec.number)
    }

    /// What the kept part is called.
    pub(super) fn kept_name(&self) -> String {
        format!("{}-{}", self.instance.network(), self.spec.slug)
    }

    /// The name of the image that is built for a service.
    pub(super) fn image(&self, service: &str) -> String {
        let repository = self.instance.repository(&self.spec.slug);
        format!(
            "{repository}/{}:{}",
            service.to_lowercase(),
            self.spec.number
        )
    }

    /// What is built, and under which names.
    pub(super) fn builds(&self) -> Model {
        let services = self.model.services.iter();
        let built = services.filter_map(|(name, service)| {
            let build: Build = service.build.clone()?;
            let service = Service {
                build: Some(build),
                image: Some(self.image(name)),
                ..Service::default()
            };
            Some((name.clone(), service))
        });
        Model {
            version: self.model.version.clone(),
            services: built.collect(),
            ..Model::default()
        }
    }

    /// What is made anew with this release, of the images that were made or fetched for it.
    pub(super) fn generation(&self, images: &BTreeMap<String, String>) -> Model {
        let kept = self.kept();
        let mut labels = self.labels();
        labels.insert(RELEASE.to_owned(), self.spec.number.to_string());
        labels.insert(RELEASE_ID.to_owned(), self.spec.release.to_string());
        let mut model = self.of(images, |name| !kept.contains_key(name));
        for (name, service) in &mut model.services {
            let is_entry = *name == self.entry.service;
            service.labels = labels.clone();
            service.ports = Vec::new();
            service.restart = Some("no".to_owned());
            // By this the steps find it.
            service.container_name =
                is_entry.then(|| self.instance.container(&self.spec.slug, self.spec.number));
            let set = |value: String| Some(Value::String(value));
            // Taken by the compose tool from its own environment, so that no sign in them means
            // anything to it; but for those which it would take for its own.
            let images = &self.spec.recipe.images;
            let own = self
                .spec
                .env
                .iter()
                .map(|(name, value)| (name.as_str(), value));
            let own = own.filter(|(name, _)| *name != "PORT" && !images.is_password(name));
            service.environment.extend(own.map(|(name, value)| {
                let given = tool::is_its_own(name).then(|| value.expose().replace('$', "$$"));
                (name.to_owned(), given.and_then(set))
            }));
            let number = set(self.spec.number.to_string());
            service
                .environment
                .insert("DEPLOYR_RELEASE".to_owned(), number);
            if is_entry {
                let port = set(self.entry.port.to_string());
                service.environment.insert("PORT".to_owned(), port);
            }
        }
        let generation = self.generation_name();
        let mut names: BTreeSet<&str> = model
            .services
            .values()
            .flat_map(|service| service.networks.names())
            .collect();
        names.insert("default");
        let network = |name: &str| {
            let given = self
                .model
                .networks
                .get(name)
                .cloned()
                .flatten()
                .unwrap_or_default();
            let mut labels = labels.clone();
            labels.insert(NETWORK.to_owned(), name.to_owned());
            let network = Network {
                name: Some(format!("{generation}_{name}")),
                internal: given.internal,
                labels,
                ..Network::default()
            };
            (name.to_owned(), Some(network))
        };
        model.networks = names.into_iter().map(network).collect();
        model
    }

    /// What lives on.
    pub(super) fn kept_part(&self, images: &BTreeMap<String, String>) -> Model {
        let kept = self.kept();
        let mut model = self.of(images, |name| kept.contains_key(name));
        for (name, service) in &mut model.services {
            service.labels = self.labels();
            service.labels.insert(KEPT.to_owned(), name.clone());
            service.restart = Some("always".to_owned());
            service.networks = Default::default();
            let fixed = |port: &Port| matches!(rules::host_port(port), Ok(Some(_)));
            service.ports.retain(fixed);
        }
        model
    }

    fn of(&self, images: &BTreeMap<String, String>, which: impl Fn(&str) -> bool) -> Model {
        let mut model = Model {
            version: self.model.version.clone(),
            ..Model::default()
        };
        for (name, service) in self.model.services.iter().filter(|(name, _)| which(name)) {
            let mut service = service.clone();
            service.build = None;
            service.image = images.get(name).cloned().or(service.image);
            service.depends_on.retain(&which);
            service.volumes = service
                .volumes
                .iter()
                .map(|mount| self.mount(mount))
                .collect();
            service.mem_limit = self.limits.memory_bytes;
            service.pids_limit = self.limits.processes;
            service.cpus = self.limits.cpus;
            service.security_opt = vec!["no-new-privileges".to_owned()];
            service.cap_drop = vec!["ALL".to_owned()];
            service.cap_add = CAPABILITIES.map(str::to_owned).to_vec();
            model.services.insert(name.clone(), service);
        }
        model.volumes = self.volumes();
        let used = |name: &String| {
            let services = model.services.values();
            let mut mounts = services
                .flat_map(|service| &service.volumes)
                .map(rules::long);
            mounts.any(|mount| mount.source.as_ref() == Some(name))
        };
        let unused: Vec<String> = model
            .volumes
            .keys()
            .filter(|name| !used(name))
            .cloned()
            .collect();
        for name in unused {
            model.volumes.remove(&name);
        }
        model
    }

    /// The volumes by the names that the file gives them, each with that on the engine.
    pub(super) fn volumes(&self) -> BTreeMap<String, Option<Volume>> {
        let volume = |name: &String| {
            let volume = Volume {
                name: Some(volume_name(self.instance, &self.spec.slug, name)),
                external: true,
                ..Volume::default()
            };
            (name.clone(), Some(volume))
        };
        self.model.volumes.keys().map(volume).collect()
    }

    /// Files of the checkout are those of all its containers, and of this release for ever:
    /// none of them writes to them.
    fn mount(&self, mount: &Mount) -> Mount {
        let mut mount = rules::long(mount);
        mount.read_only |= mount.kind == "bind";
        Mount::Long(mount)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        self.instance.labels(&self.spec.slug).into_iter().collect()
    }

    /// The ports of the host that the kept services take.
    pub(super) fn host_ports(&self) -> Vec<(String, u16)> {
        let kept = self.kept();
        let services = self.model.services.iter();
        let services = services.filter(|(name, _)| kept.contains_key(name.as_str()));
        services
            .flat_map(|(name, service)| {
                let ports = service
                    .ports
                    .iter()
                    .filter_map(|port| rules::host_port(port).ok()?);
                ports.map(|port| (name.clone(), port))
            })
            .collect()
    }
}

fn volume_name(instance: &Instance, slug: &Slug, name: &str) -> String {
    match RelPath::parse(name) {
        Ok(path) => instance.volume(slug, &path),
        Err(_) => format!("{}-{slug}-{name}", instance.network()),
    }
}
