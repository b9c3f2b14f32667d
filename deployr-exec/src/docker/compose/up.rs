//! Makes the images of a release, and brings its services up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, EndpointIpamConfig, EndpointSettings, HealthStatusEnum,
    NetworkConnectRequest, VolumeCreateRequest,
};
use deployr_core::builder::Artifact;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Runtime;
use tokio::time::Instant;

use super::super::naming::RELEASE_ID;
use super::super::network;
use super::super::run::is_running;
use super::model::{Joined, Model};
use super::parts::{Entry, KEPT, Parts};
use super::place::{self, Placed};
use super::remove::is_conflict;
use super::tool::Call;
use super::{ComposeExecutor, rules};
use crate::local::blocking;

/// How often a kept service is looked at that others wait for.
const LOOK: Duration = Duration::from_millis(200);

impl ComposeExecutor {
    /// Reads, resolves and checks the file of a checkout.
    async fn parts<'a>(
        &'a self,
        instance: &'a super::super::naming::Instance,
        spec: &'a ReleaseSpec,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<(Parts<'a>, PathBuf)> {
        let Runtime::Compose {
            file,
            service,
            port,
        } = &spec.recipe.runtime
        else {
            let message = "its recipe names no compose file; deploy its commit again";
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        };
        let (checkout, wanted) = (folder.to_owned(), file.clone());
        let path = blocking(move || place::file(&checkout, wanted.as_ref())).await?;
        let base = path.parent().unwrap_or(folder).to_owned();
        let call = Call {
            args: args(["-f".into(), path.into(), "config".into()]),
            folder: &base,
            env: &spec.env,
            input: None,
        };
        let ended = self.tool.run(call, false, ctx).await?;
        if !ended.well {
            let message = "the compose tool cannot read the file; what it says is in the log";
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        }
        let checkout = folder.to_owned();
        let model = blocking(move || Ok(rules::check(&ended.stdout, &checkout)?)).await?;
        let entry = Entry::of(&model, service.as_deref(), *port)?;
        let parts = Parts {
            model,
            entry,
            instance,
            spec,
            limits: self.docker.run_limits(),
        };
        Ok((parts, base))
    }

    /// Builds what is to be built, fetches what is not here yet, and gives the ids.
    pub(super) async fn make_images(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<Placed> {
        let instance = self.docker.instance().await?;
        let folder = place::folder(artifact)?;
        let (parts, base) = self.parts(&instance, spec, &folder, ctx).await?;
        for (name, why) in parts.kept() {
            let say = format!(
                "{name} is kept beside all releases, as it has {why}: where it changes, it is \
                 restarted in place"
            );
            ctx.log.say(say).await;
        }
        let mut images = BTreeMap::new();
        let builds = parts.builds();
        if !builds.services.is_empty() {
            let name = parts.generation_name();
            let well = self
                .with_model(&name, &builds, ["build".into()], &base, spec, ctx)
                .await?;
            if !well {
                let message = "an image of the compose file could not be built; what the build \
                               said is in the log";
                return Err(StepError::verdict(VerdictCode::BuildFailed, message));
            }
        }
        for (name, service) in &parts.model.services {
            let image = match (&service.build, &service.image) {
                (Some(_), _) | (None, None) => parts.image(name),
                (None, Some(image)) => image.clone(),
            };
            if service.build.is_none() && self.docker.client().find_image(&image).await?.is_none() {
                ctx.log.say(format!("fetching {image} for {name}")).await;
                tokio::select! {
                    biased;
                    () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
                    pulled = self.docker.client().pull(&image) => pulled?,
                }
            }
            let found = self.docker.client().find_image(&image).await?;
            let id = found.and_then(|found| found.id).ok_or_else(|| {
                Fault::retryable("looking at an image", &image, "it is gone again")
            })?;
            images.insert(name.clone(), id);
        }
        Ok(Placed { images })
    }

    /// Whether all images of a release are on the engine.
    pub(super) async fn has_all(&self, placed: &Placed) -> StepResult<bool> {
        for id in placed.images.values() {
            if self.docker.client().find_image(id).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings a placed release up and gives its address; what is up already stays.
    pub(super) async fn bring_up(
        &self,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<SocketAddr> {
        let placed = self.placed(spec).await?;
        if !self.has_all(&placed).await? {
            let number = spec.number;
            let message = format!(
                "an image of release {number} is no longer on the engine; deploy its commit again"
            );
            return Err(StepError::verdict(VerdictCode::ReleaseGone, message));
        }
        let instance = self.docker.instance().await?;
        let folder = self.docker.layout(&spec.slug).release(spec.number);
        let (parts, base) = self.parts(&instance, spec, &folder, ctx).await?;
        let name = instance.container(&spec.slug, spec.number);
        if let Some(found) = self.docker.client().find_container(&name).await? {
            let labels = found
                .config
                .as_ref()
                .and_then(|config| config.labels.as_ref());
            let id = labels.and_then(|labels| labels.get(RELEASE_ID));
            let is_its_own = id.is_some_and(|id| *id == spec.release.to_string());
            if is_its_own && is_running(&found) && self.is_whole(&parts).await? {
                return self.address(&parts, &found);
            }
            // Of a start that was cut off, or of another store's release.
            self.remove_generation(&spec.slug, spec.number, Duration::from_secs(1))
                .await?;
        }
        self.make_volumes(&parts).await?;
        self.start_kept(&parts, &placed, &base, ctx).await?;
        let generation = parts.generation(&placed.images);
        let called = parts.generation_name();
        let create = ["up".into(), "--no-start".into(), "--no-build".into()];
        let made = self
            .with_model(&called, &generation, create, &base, spec, ctx)
            .await?;
        if !made {
            return Err(start_failed(spec));
        }
        self.connect(&parts, &generation, &name).await?;
        self.wait_for_kept(&parts, ctx).await?;
        let start = ["up".into(), "--detach".into(), "--no-build".into()];
        let up = self
            .with_model(&called, &generation, start, &base, spec, ctx)
            .await?;
        if !up {
            return Err(start_failed(spec));
        }
        let found = self.docker.client().find_container(&name).await?;
        let found = found.ok_or_else(|| {
            Fault::retryable("starting", &name, "somebody has removed it meanwhile")
        })?;
        self.address(&parts, &found)
    }

    /// Runs the tool on a file that is nowhere but in memory.
    async fn with_model<const N: usize>(
        &self,
        name: &str,
        model: &Model,
        what: [OsString; N],
        folder: &Path,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<bool> {
        let head = [
            "-p".into(),
            name.into(),
            "--project-directory".into(),
            folder.into(),
            "-f".into(),
            "-".into(),
        ];
        let input = serde_json::to_vec(model);
        let input = input.map_err(|error| Fault::permanent("writing", name, error))?;
        let call = Call {
            args: head.into_iter().chain(what).collect(),
            folder,
            env: &spec.env,
            input: Some(input),
        };
        Ok(self.tool.run(call, true, ctx).await?.well)
    }

    async fn make_volumes(&self, parts: &Parts<'_>) -> StepResult<()> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let labels = parts.instance.labels(&parts.spec.slug);
        for volume in parts.volumes().into_values().flatten() {
            let name = volume.name.unwrap_or_default();
            let request = VolumeCreateRequest {
                name: Some(name.clone()),
                labels: Some(labels.clone()),
                ..VolumeCreateRequest::default()
            };
            let made = docker.create_volume(request).await;
            client.step("making a volume", &name, made)?;
        }
        Ok(())
    }

    async fn start_kept(
        &self,
        parts: &Parts<'_>,
        placed: &Placed,
        base: &Path,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let kept = parts.kept_part(&placed.images);
        if kept.services.is_empty() {
            return Ok(());
        }
        self.check_ports(parts).await?;
        let up = [
            "up".into(),
            "--detach".into(),
            "--no-build".into(),
            "--remove-orphans".into(),
        ];
        let well = self
            .with_model(&parts.kept_name(), &kept, up, base, parts.spec, ctx)
            .await?;
        match well {
            true => Ok(()),
            false => Err(start_failed(parts.spec)),
        }
    }

    /// Whether the ports of the host are free, or the project's own already.
    async fn check_ports(&self, parts: &Parts<'_>) -> StepResult<()> {
        let containers = self.containers(&parts.spec.slug).await?;
        let own = containers.iter().flat_map(|container| &container.ports);
        let own: Vec<u16> = own.flatten().filter_map(|port| port.public_port).collect();
        for (service, port) in parts.host_ports() {
            if !own.contains(&port) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_err() {
                let message = format!(
                    "port {port} of the host, which `{service}` asks for, is in use; choose \
                     another, or none if only other services of the project need it"
                );
                return Err(StepError::verdict(VerdictCode::StartFailed, message));
            }
        }
        Ok(())
    }

    /// Joins what is kept to the networks of a generation, under the names that its services
    /// know it by; and the entry to the network that the ingress reaches, under none.
    async fn connect(&self, parts: &Parts<'_>, generation: &Model, entry: &str) -> StepResult<()> {
        for container in self.containers(&parts.spec.slug).await? {
            let labels = container.labels.unwrap_or_default();
            let (Some(service), Some(id)) = (labels.get(KEPT), container.id) else {
                continue;
            };
            let Some(given) = parts.model.services.get(service) else {
                continue;
            };
            let joined = match &given.networks {
                none if none.is_empty() => vec!["default"],
                some => some.names(),
            };
            for network in joined {
                let Some(Some(there)) = generation.networks.get(network) else {
                    continue;
                };
                let mut aliases = vec![service.clone()];
                if let Joined::Map(map) = &given.networks
                    && let Some(Some(more)) = map.get(network)
                {
                    aliases.extend(more.aliases.iter().cloned());
                }
                let settings = EndpointSettings {
                    aliases: Some(aliases),
                    ..EndpointSettings::default()
                };
                let name = there.name.clone().unwrap_or_default();
                self.join(&name, &id, settings).await?;
            }
        }
        let _one_at_a_time = self.docker.addresses().lock().await;
        let client = self.docker.client();
        let spec = parts.spec;
        let address = network::address(client, parts.instance, &spec.slug, spec.number).await?;
        let settings = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(address.to_string()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        self.join(&parts.instance.network(), entry, settings).await
    }

    async fn join(
        &self,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> StepResult<()> {
        let client = self.docker.client();
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(settings),
        };
        let joined = client
            .docker()
            .await?
            .connect_network(network, request)
            .await;
        match joined {
            Err(error) if is_conflict(&error) && error.to_string().contains("already exists") => {
                Ok(())
            }
            joined => client.step("joining a network", network, joined),
        }
    }

    /// Waits until the kept services are healthy that others want healthy.
    async fn wait_for_kept(&self, parts: &Parts<'_>, ctx: &StepContext) -> StepResult<()> {
        let kept = parts.kept();
        let services = parts.model.services.iter();
        let waiting = services.filter(|(name, _)| !kept.contains_key(name.as_str()));
        let mut wanted: Vec<&str> = waiting
            .flat_map(|(_, service)| service.depends_on.iter())
            .filter(|(name, healthy)| *healthy && kept.contains_key(name))
            .map(|(name, _)| name)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let deadline = Instant::now() + parts.spec.recipe.health.deadline();
        for service in wanted {
            while !self.is_healthy(parts, service).await? {
                if Instant::now() >= deadline {
                    let message = format!(
                        "`{service}`, which other services wait for, did not become healthy \
                         within {} s; look into its output (`docker logs`)",
                        parts.spec.recipe.health.deadline().as_secs()
                    );
                    return Err(StepError::verdict(VerdictCode::Unhealthy, message));
                }
                tokio::select! {
                    biased;
                    () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
        Ok(())
    }

    async fn is_healthy(&self, parts: &Parts<'_>, service: &str) -> StepResult<bool> {
        for container in self.containers(&parts.spec.slug).await? {
            let labels = container.labels.unwrap_or_default();
            let (Some(of), Some(id)) = (labels.get(KEPT), container.id) else {
                continue;
            };
            if of != service {
                continue;
            }
            let found = self.docker.client().find_container(&id).await?;
            let health = found.and_then(|found| found.state?.health?.status);
            return Ok(health == Some(HealthStatusEnum::HEALTHY));
        }
        Ok(false)
    }

    /// Whether all services of a generation are there.
    async fn is_whole(&self, parts: &Parts<'_>) -> StepResult<bool> {
        let spec = parts.spec;
        let there = self.containers_of(&spec.slug, spec.number).await?.len();
        Ok(there == parts.model.services.len() - parts.kept().len())
    }

    /// Where the entry answers: at the address that it was given.
    fn address(
        &self,
        parts: &Parts<'_>,
        found: &ContainerInspectResponse,
    ) -> StepResult<SocketAddr> {
        let name = found.name.as_deref().unwrap_or("a container");
        let settings = found.network_settings.as_ref();
        let networks = settings.and_then(|settings| settings.networks.as_ref());
        let endpoint = networks.and_then(|networks| networks.get(&parts.instance.network()));
        let given =
            endpoint.and_then(|endpoint| endpoint.ipam_config.as_ref()?.ipv4_address.clone());
        let address = given.and_then(|text| text.parse::<Ipv4Addr>().ok());
        let address = address.ok_or_else(|| {
            let reason = "it is not in deployr's network; remove it, and deploy again";
            Fault::permanent("looking for the address of", name, reason)
        })?;
        Ok((address, parts.entry.port).into())
    }
}

fn args<const N: usize>(args: [OsString; N]) -> Vec<OsString> {
    args.into()
}

fn start_failed(spec: &ReleaseSpec) -> StepError {
    let message = format!(
        "the services of release {} could not be started; what the compose tool says is in the \
         deployment's log",
        spec.number
    );
    StepError::verdict(VerdictCode::StartFailed, message)
}
