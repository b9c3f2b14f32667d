//! The container of a release: made, started, found again, stopped, removed.

use std::net::SocketAddr;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerUpdateBody, ImageInspect,
};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptions, StopContainerOptions,
};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;

use super::client::if_there;
use super::container::{Blueprint, restarts};
use super::naming::{Instance, PROJECT, RELEASE, RELEASE_ID};
use super::{DockerExecutor, network, place};

/// How often another address is tried where one is taken after all.
const ADDRESSES: usize = 3;

impl DockerExecutor {
    /// Brings the release's container up and gives its address; what is up already stays.
    pub(super) async fn start_container(
        &self,
        instance: &Instance,
        spec: &ReleaseSpec,
        placed: &place::Placed,
    ) -> StepResult<SocketAddr> {
        let name = instance.container(&spec.slug, spec.number);
        let mut taken = None;
        for _ in 0..ADDRESSES {
            let found = self.client().find_container(&name).await?;
            let found = match found.filter(|found| is_of(found, spec, placed)) {
                Some(found) => found,
                None => {
                    self.client().remove_container(&name).await?;
                    self.create_container(instance, spec, placed, &name, None)
                        .await?
                }
            };
            if is_running(&found) {
                return address(instance, &found);
            }
            let docker = self.client().docker().await?;
            let Err(error) = docker.start_container(&name, None).await else {
                let found = self.client().find_container(&name).await?;
                return found.map_or_else(
                    || Err(gone_meanwhile(&name)),
                    |found| address(instance, &found),
                );
            };
            let text = error.to_string();
            if text.contains("exec:") {
                let number = spec.number;
                let message = format!("release {number} could not be started: {}", plain(&text));
                return Err(StepError::verdict(VerdictCode::StartFailed, message));
            }
            if !text.contains("ddress already in use") {
                return Err(self.client().fault("starting", &name, error).into());
            }
            self.client().remove_container(&name).await?;
            taken = Some(error);
        }
        let taken = taken.map(|error| error.to_string()).unwrap_or_default();
        Err(Fault::retryable("starting", &name, plain(&taken)).into())
    }

    /// Makes a container of the release, which runs `instead` where that is given.
    pub(super) async fn create_container(
        &self,
        instance: &Instance,
        spec: &ReleaseSpec,
        placed: &place::Placed,
        name: &str,
        instead: Option<&str>,
    ) -> StepResult<ContainerInspectResponse> {
        let image = self.image_of_release(spec, placed).await?;
        let docker = self.client().docker().await?;
        // Until it is made nobody is to look for an address.
        let _one_at_a_time = self.addresses().lock().await;
        let address = network::address(self.client(), instance, &spec.slug, spec.number).await?;
        let body = Blueprint {
            instance,
            spec,
            limits: self.run_limits(),
            image: &placed.image,
            config: &image.config.unwrap_or_default(),
            of_folder: placed.of_folder,
            instead,
        }
        .body(address);
        let options = CreateContainerOptions {
            name: Some(name.to_owned()),
            ..CreateContainerOptions::default()
        };
        let made = docker.create_container(Some(options), body).await;
        self.client().step("making a container", name, made)?;
        let found = self.client().find_container(name).await?;
        found.ok_or_else(|| gone_meanwhile(name))
    }

    pub(super) async fn image_of_release(
        &self,
        spec: &ReleaseSpec,
        placed: &place::Placed,
    ) -> StepResult<ImageInspect> {
        let found = self.client().find_image(&placed.image).await?;
        found.ok_or_else(|| {
            let number = spec.number;
            let message = format!(
                "the image of release {number} is no longer on the engine; deploy its commit again"
            );
            StepError::verdict(VerdictCode::ReleaseGone, message)
        })
    }

    /// Lets it come up by itself from now on, or no longer. One that is gone is fine.
    pub(super) async fn restart_by_itself(&self, name: &str, present: bool) -> StepResult<()> {
        let docker = self.client().docker().await?;
        let update = ContainerUpdateBody {
            restart_policy: Some(restarts(present)),
            ..ContainerUpdateBody::default()
        };
        let updated = if_there(docker.update_container(name, update).await).map(drop);
        self.client().step("changing a container", name, updated)
    }

    /// Asks a container to end, kills it after `grace`. One that is gone is fine.
    pub(super) async fn stop_container(&self, name: &str, grace: Duration) -> StepResult<()> {
        let Some(found) = self.client().find_container(name).await? else {
            return Ok(());
        };
        // First, so that nothing brings it up again.
        self.restart_by_itself(name, false).await?;
        if !is_running(&found) {
            return Ok(());
        }
        let docker = self.client().docker().await?.clone();
        let docker = docker.with_timeout(grace + Duration::from_secs(60));
        let seconds = grace.as_millis().div_ceil(1000);
        let options = StopContainerOptions {
            t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            ..StopContainerOptions::default()
        };
        let stopped = if_there(docker.stop_container(name, Some(options)).await).map(drop);
        self.client().step("stopping", name, stopped)
    }

    /// The containers of a project, or of all.
    pub(super) async fn containers(
        &self,
        instance: &Instance,
        slug: Option<&Slug>,
    ) -> StepResult<Vec<Owned>> {
        let docker = self.client().docker().await?;
        let options = ListContainersOptions {
            all: true,
            filters: Some(instance.filter(slug)),
            ..ListContainersOptions::default()
        };
        let all = docker.list_containers(Some(options)).await;
        let all = self
            .client()
            .step("listing containers of", instance.network(), all)?;
        Ok(all.into_iter().filter_map(Owned::of).collect())
    }
}

/// A container that some release has, or had.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) slug: Slug,
    pub(super) number: i64,
    /// Whether it runs, or will by itself.
    pub(super) runs: bool,
}

impl Owned {
    fn of(found: ContainerSummary) -> Option<Self> {
        let labels = found.labels?;
        let state = found.state.map(|state| state.to_string());
        Some(Self {
            id: found.id?,
            slug: Slug::parse(labels.get(PROJECT)?).ok()?,
            number: labels.get(RELEASE)?.parse().ok()?,
            runs: state.is_some_and(|state| state != "exited" && state != "created"),
        })
    }
}

/// Whether a container is the one that the release would be given.
fn is_of(found: &ContainerInspectResponse, spec: &ReleaseSpec, placed: &place::Placed) -> bool {
    let labels = found
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    let id = labels.and_then(|labels| labels.get(RELEASE_ID));
    id.is_some_and(|id| *id == spec.release.to_string())
        && found.image.as_ref() == Some(&placed.image)
}

pub(super) fn is_running(found: &ContainerInspectResponse) -> bool {
    let state = found.state.as_ref();
    // One that comes up again by itself is up, as far as stopping it goes.
    state.is_some_and(|state| state.running == Some(true) || state.restarting == Some(true))
}

/// Where it answers: at the address that it was given, whether it runs or has ended since.
fn address(instance: &Instance, found: &ContainerInspectResponse) -> StepResult<SocketAddr> {
    let name = found.name.as_deref().unwrap_or("a container");
    let settings = found.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    let endpoint = networks.and_then(|networks| networks.get(&instance.network()));
    let given = endpoint.and_then(|endpoint| endpoint.ipam_config.as_ref()?.ipv4_address.clone());
    let env = found.config.as_ref().and_then(|config| config.env.as_ref());
    let port = env.and_then(|env| env.iter().find_map(|entry| entry.strip_prefix("PORT=")));
    let parsed = given.zip(port).and_then(|(address, port)| {
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    });
    parsed.ok_or_else(|| {
        let reason = "it is not in deployr's network, or has lost its address; remove it, and \
                      deploy again";
        Fault::permanent("looking for the address of", name, reason).into()
    })
}

fn gone_meanwhile(name: &str) -> StepError {
    Fault::retryable("starting", name, "somebody has removed it meanwhile").into()
}

/// The engine's words without their wrapping.
fn plain(text: &str) -> String {
    let text = text.split_once(": ").map_or(text, |(_, rest)| rest);
    text.trim().trim_end_matches(": unknown").to_owned()
}
