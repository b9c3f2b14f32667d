//! The port that a service publishes. Chosen here, so that it stays what it is when tasks are
//! replaced: an ingress has learned it, and it outlives deployr.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::ops::Range;

use bollard::models::Service;
use bollard::query_parameters::{ListContainersOptions, ListServicesOptions};
use deployr_core::error::{Fault, StepResult};

use super::SwarmExecutor;
use super::node::Node;

/// Below those that systems (from 32,768 on) and Swarm (from 30,000 on) give by themselves.
const PORTS: Range<u16> = 20_000..30_000;

impl SwarmExecutor {
    /// A port that nobody has. Whoever asks holds on to the instance's lock until it is taken.
    pub(super) async fn free_port(&self, node: &Node, of: impl Hash) -> StepResult<u16> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let services = docker.list_services(None::<ListServicesOptions>).await;
        let services = client.step("listing services", "the swarm", services)?;
        let mut used: BTreeSet<u16> = services.iter().flat_map(published).collect();
        let containers = docker.list_containers(None::<ListContainersOptions>).await;
        let containers = client.step("listing containers", "this host", containers)?;
        let ports = containers
            .iter()
            .flat_map(|container| container.ports.iter().flatten());
        used.extend(ports.filter_map(|port| port.public_port));
        let is_free = |port: &u16| {
            let taken = |error: std::io::Error| error.kind() == ErrorKind::AddrInUse;
            !used.contains(port) && !TcpListener::bind((node.address, *port)).is_err_and(taken)
        };
        Ok(candidates(of).find(is_free).ok_or_else(|| {
            let (first, last) = (PORTS.start, PORTS.end - 1);
            let reason = format!("all from {first} to {last} are in use");
            Fault::permanent("looking for a port of", node.address, reason)
        })?)
    }
}

/// All of them, from another one on for each release: one that was given up is not soon given
/// to somebody else.
fn candidates(of: impl Hash) -> impl Iterator<Item = u16> {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    let room = u64::from(PORTS.end - PORTS.start);
    // Less than `room`, which fits.
    let start = u16::try_from(hasher.finish() % room).unwrap_or_default();
    (start..PORTS.end - PORTS.start)
        .chain(0..start)
        .map(|step| PORTS.start + step)
}

/// The ports that a service publishes.
pub(super) fn published(service: &Service) -> Vec<u16> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.endpoint_spec.as_ref()?.ports.as_ref());
    // Those that Swarm has given by itself are not in the order, but in what came of it.
    let given = service.endpoint.as_ref();
    let given = given.and_then(|endpoint| endpoint.ports.as_ref());
    let all = [ports, given].into_iter().flatten().flatten();
    all.filter_map(|port| u16::try_from(port.published_port?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_comes_once_and_not_for_all_in_the_same_order() {
        let all: Vec<u16> = candidates("a").collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 10_000);
        assert!(all.iter().all(|port| PORTS.contains(port)));
        assert_ne!(all.first(), candidates("b").next().as_ref());
    }
}
