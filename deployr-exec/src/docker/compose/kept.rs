//! What is kept: started beside all generations, and joined to each.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, HealthStatusEnum, NetworkConnectRequest,
};
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::value::Slug;
use tokio::time::Instant;

use super::super::network;
use super::ComposeExecutor;
use super::model::{Joined, Model};
use super::parts::{KEPT, Parts};
use super::place::Placed;
use super::remove::is_conflict;
use super::up::start_failed;

/// How often a kept service is looked at that others wait for.
const LOOK: Duration = Duration::from_millis(200);

impl ComposeExecutor {
    pub(super) async fn start_kept(
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
        // What is wanted no longer stays: the release that serves may still ask it.
        let up = ["up".into(), "--detach".into(), "--no-build".into()];
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
    pub(super) async fn connect(
        &self,
        parts: &Parts<'_>,
        generation: &Model,
        entry: &str,
    ) -> StepResult<()> {
        for (service, id) in self.kept_containers(&parts.spec.slug).await? {
            let Some(given) = parts.model.services.get(&service) else {
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
    pub(super) async fn wait_for_kept(
        &self,
        parts: &Parts<'_>,
        ctx: &StepContext,
    ) -> StepResult<()> {
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
        let all = self.kept_containers(&parts.spec.slug).await?;
        let Some((_, id)) = all.into_iter().find(|(of, _)| of == service) else {
            return Ok(false);
        };
        let found = self.docker.client().find_container(&id).await?;
        let health = found.and_then(|found| found.state?.health?.status);
        Ok(health == Some(HealthStatusEnum::HEALTHY))
    }

    /// The services of a project that are kept, each with the id of its container.
    async fn kept_containers(&self, slug: &Slug) -> StepResult<Vec<(String, String)>> {
        let all = self.containers(slug).await?.into_iter();
        let kept = all.filter_map(|container| {
            let service = container.labels?.remove(KEPT)?;
            Some((service, container.id?))
        });
        Ok(kept.collect())
    }
}
