//! The service of a release: made, found again, changed in its size.

use std::net::SocketAddr;

use bollard::errors::Error;
use bollard::models::{EndpointPortConfigPublishModeEnum, NetworkCreateRequest, Service};
use bollard::query_parameters::{
    InspectNetworkOptions, InspectServiceOptions, ListServicesOptions, UpdateServiceOptions,
};
use deployr_core::error::{Fault, StepResult};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;

use super::super::client::{if_there, status};
use super::super::container::Blueprint;
use super::super::naming::{Instance, PROJECT, RELEASE, RELEASE_ID};
use super::super::place::Placed;
use super::SwarmExecutor;
use super::node::Node;
use super::port::published;
use super::service::{Plan, replicated};

impl SwarmExecutor {
    /// Brings the release's service up and gives its address; what is up already stays.
    pub(super) async fn bring_up(
        &self,
        spec: &ReleaseSpec,
        placed: &Placed,
    ) -> StepResult<SocketAddr> {
        self.check_mesh()?;
        let node = self.node().await?;
        let instance = self.docker.instance().await?;
        let name = instance.service(&spec.slug, spec.number);
        if let Some(found) = self.find_service(&name).await? {
            if is_of(&found, spec) {
                self.resize(&name, &found).await?;
                return address(&name, &node, &found);
            }
            self.remove_services(&spec.slug, spec.number, std::time::Duration::ZERO)
                .await?;
        }
        self.create(&instance, spec, placed, &node).await?;
        let found = self.find_service(&name).await?;
        let found = found.ok_or_else(|| {
            Fault::retryable("starting", &name, "somebody has removed it meanwhile")
        })?;
        address(&name, &node, &found)
    }

    async fn create(
        &self,
        instance: &Instance,
        spec: &ReleaseSpec,
        placed: &Placed,
        node: &Node,
    ) -> StepResult<()> {
        let image = self.docker.image_of_release(spec, placed).await?;
        let config = image.config.unwrap_or_default();
        let blueprint = Blueprint {
            instance,
            spec,
            limits: self.docker.run_limits(),
            image: &placed.image,
            config: &config,
            of_folder: placed.of_folder,
            instead: None,
        };
        self.ensure_network(instance, &spec.slug).await?;
        let secrets = self.make_secrets(&blueprint).await?;
        // Nobody else has the image.
        let mut constraints = vec![format!("node.id=={}", node.id)];
        constraints.extend(self.constraints.iter().cloned());
        let client = self.docker.client();
        let name = instance.service(&spec.slug, spec.number);
        // Until it is made nobody is to look for a port.
        let _one_at_a_time = self.docker.addresses().lock().await;
        let port = self.free_port(node, spec.release.to_string()).await?;
        let plan = Plan {
            blueprint,
            replicas: self.replicas,
            meshed: self.is_meshed(),
            constraints,
            secrets,
            port,
        };
        let made = client
            .docker()
            .await?
            .create_service(plan.spec(), None)
            .await;
        client.step("making a service", &name, made).map(drop)
    }

    pub(super) async fn find_service(&self, name: &str) -> StepResult<Option<Service>> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let options = None::<InspectServiceOptions>;
        let found = if_there(docker.inspect_service(name, options).await);
        client.step("looking at a service", name, found)
    }

    /// The replicas that are set now: tasks come or go, those that stay go on. What changes how
    /// they are reached waits for the next release.
    async fn resize(&self, name: &str, found: &Service) -> StepResult<()> {
        let (Some(spec), Some(version)) = (&found.spec, &found.version) else {
            return Ok(());
        };
        let mode = Some(replicated(self.replicas));
        if spec.mode == mode || is_meshed(found) != self.is_meshed() {
            return Ok(());
        }
        let mut spec = spec.clone();
        spec.mode = mode;
        let index = version.index.unwrap_or_default();
        let options = UpdateServiceOptions {
            version: i32::try_from(index).unwrap_or(i32::MAX),
            ..UpdateServiceOptions::default()
        };
        let client = self.docker.client();
        let docker = client.docker().await?;
        let changed = docker.update_service(name, spec, options, None).await;
        client.step("changing a service", name, changed).map(drop)
    }

    /// The network in which the services of a project find each other, and nobody else them.
    async fn ensure_network(&self, instance: &Instance, slug: &Slug) -> StepResult<()> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let name = instance.project_network(slug);
        let options = None::<InspectNetworkOptions>;
        let found = if_there(docker.inspect_network(&name, options).await);
        if client.step("looking at a network", &name, found)?.is_some() {
            return Ok(());
        }
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("overlay".to_owned()),
            // So that one-off containers (`docker run --network`) get there.
            attachable: Some(true),
            labels: Some(instance.labels(slug)),
            ..NetworkCreateRequest::default()
        };
        let made = match docker.create_network(request).await {
            Err(error) if is_there_already(&error) => Ok(()),
            made => made.map(drop),
        };
        client.step("making a network", &name, made)
    }

    /// The services that releases of a project, or of all, have, or had.
    pub(super) async fn services(&self, slug: Option<&Slug>) -> StepResult<Vec<Owned>> {
        let client = self.docker.client();
        let instance = self.docker.instance().await?;
        let options = ListServicesOptions {
            filters: Some(instance.filter(slug)),
            ..ListServicesOptions::default()
        };
        let all = client.docker().await?.list_services(Some(options)).await;
        let all = client.step("listing services of", instance.network(), all)?;
        Ok(all.into_iter().filter_map(Owned::of).collect())
    }
}

/// A service that some release has, or had.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) slug: Slug,
    pub(super) number: i64,
}

impl Owned {
    fn of(found: Service) -> Option<Self> {
        let labels = found.spec?.labels?;
        Some(Self {
            id: found.id?,
            slug: Slug::parse(labels.get(PROJECT)?).ok()?,
            number: labels.get(RELEASE)?.parse().ok()?,
        })
    }
}

/// Whether a service is the one that the release would be given.
fn is_of(found: &Service, spec: &ReleaseSpec) -> bool {
    let labels = found.spec.as_ref().and_then(|spec| spec.labels.as_ref());
    let id = labels.and_then(|labels| labels.get(RELEASE_ID));
    id.is_some_and(|id| *id == spec.release.to_string())
}

fn is_meshed(found: &Service) -> bool {
    let spec = found.spec.as_ref();
    let ports = spec.and_then(|spec| spec.endpoint_spec.as_ref()?.ports.as_ref());
    let mut ports = ports.into_iter().flatten();
    ports.any(|port| port.publish_mode == Some(EndpointPortConfigPublishModeEnum::INGRESS))
}

/// Where it answers: at this node, which is in the mesh or has its only task.
fn address(name: &str, node: &Node, found: &Service) -> StepResult<SocketAddr> {
    let port = published(found).into_iter().next().ok_or_else(|| {
        let reason = "it publishes no port any more; remove it, and deploy again";
        Fault::permanent("looking for the address of", name, reason)
    })?;
    Ok(SocketAddr::new(node.address, port))
}

fn is_there_already(error: &Error) -> bool {
    status(error) == Some(409) || error.to_string().contains("already exists")
}
