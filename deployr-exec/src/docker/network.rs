//! The network that the releases of an instance are in, and the address that each has.
//!
//! A container keeps its address for as long as it is there, whatever is restarted: what
//! an ingress once learned holds. Docker gives such addresses only in a network whose
//! range somebody has chosen, so it chooses one itself first, and is then told the same.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::ListContainersOptions;
use deployr_core::error::{Fault, StepResult};
use deployr_core::value::Slug;

use super::client::{Client, if_there};
use super::naming::Instance;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    bits: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, bits) = text.split_once('/')?;
        let (first, bits): (Ipv4Addr, u32) = (first.parse().ok()?, bits.parse().ok()?);
        let size = (8..=30).contains(&bits).then(|| 1_u32 << (32 - bits))?;
        Some(Self {
            first: first.to_bits() & !(size - 1),
            bits,
        })
    }

    /// An address that is not in use. Which one depends on `of`, so that one that was given
    /// up is not soon given to somebody else.
    fn free(&self, used: &BTreeSet<Ipv4Addr>, of: impl Hash) -> Option<Ipv4Addr> {
        // Neither the network's own, nor the gateway's, nor the one that means all of them.
        let room = (1_u32 << (32 - self.bits)) - 3;
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        let start = u32::try_from(hasher.finish() % u64::from(room)).ok()?;
        let addresses = (0..room).map(|step| self.first + 2 + (start + step) % room);
        addresses
            .map(Ipv4Addr::from_bits)
            .find(|address| !used.contains(address))
    }
}

/// An address for a container that is about to be made. Whoever asks holds on to the
/// instance's lock until it is.
pub(super) async fn address(
    client: &Client,
    instance: &Instance,
    slug: &Slug,
    number: i64,
) -> StepResult<Ipv4Addr> {
    let docker = client.docker().await?;
    let name = instance.network();
    let network = ensure(docker, instance).await;
    let network = client.step("making a network", &name, network)?;
    let range = subnet(&network)
        .and_then(|subnet| Range::parse(&subnet))
        .ok_or_else(|| {
            let reason = "it has no range of IPv4 addresses; remove it, and it is made anew";
            Fault::permanent("looking at a network", &name, reason)
        })?;
    let used = used(docker, &network, &name).await;
    let used = client.step("looking for an address in", &name, used)?;
    let free = range.free(&used, (slug, number));
    Ok(free.ok_or_else(|| {
        let reason = "all of its addresses are in use; let fewer releases be kept";
        Fault::permanent("looking for an address in", &name, reason)
    })?)
}

async fn ensure(docker: &Docker, instance: &Instance) -> Result<NetworkInspect, Error> {
    let name = instance.network();
    if let Some(network) = if_there(docker.inspect_network(&name, None).await)? {
        let chosen = network
            .options
            .as_ref()
            .is_some_and(|options| options.contains_key(ICC));
        if chosen {
            return Ok(network);
        }
        // Cut off before Docker was told.
        docker.remove_network(&name).await?;
    }
    docker
        .create_network(NetworkCreateRequest {
            name: name.clone(),
            labels: Some(labels(instance)),
            ..NetworkCreateRequest::default()
        })
        .await?;
    let chosen = docker.inspect_network(&name, None).await?;
    docker.remove_network(&name).await?;
    docker
        .create_network(NetworkCreateRequest {
            name: name.clone(),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig {
                    subnet: subnet(&chosen),
                    ..IpamConfig::default()
                }]),
                ..Ipam::default()
            }),
            // Projects do not see each other.
            options: Some([(ICC.to_owned(), "false".to_owned())].into()),
            labels: Some(labels(instance)),
            ..NetworkCreateRequest::default()
        })
        .await?;
    docker.inspect_network(&name, None).await
}

const ICC: &str = "com.docker.network.bridge.enable_icc";

fn labels(instance: &Instance) -> HashMap<String, String> {
    let label = instance.label();
    let pair = label.split_once('=');
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

fn subnet(network: &NetworkInspect) -> Option<String> {
    let ranges = network.ipam.as_ref()?.config.as_ref()?;
    let v4 = ranges.iter().filter_map(|range| range.subnet.as_ref());
    v4.into_iter()
        .find(|subnet| Range::parse(subnet).is_some())
        .cloned()
}

/// The addresses that containers have, and those that stopped ones will have again.
async fn used(
    docker: &Docker,
    network: &NetworkInspect,
    name: &str,
) -> Result<BTreeSet<Ipv4Addr>, Error> {
    let filters = [("network".to_owned(), vec![name.to_owned()])].into();
    let all = docker
        .list_containers(Some(ListContainersOptions {
            all: true,
            filters: Some(filters),
            ..ListContainersOptions::default()
        }))
        .await?;
    let mut used = BTreeSet::new();
    for container in all {
        let networks = container
            .network_settings
            .and_then(|settings| settings.networks);
        let Some(settings) = networks.and_then(|mut all| all.remove(name)) else {
            continue;
        };
        let wanted = settings.ipam_config.and_then(|config| config.ipv4_address);
        let both = [settings.ip_address, wanted].into_iter().flatten();
        used.extend(both.filter_map(|text| text.parse::<Ipv4Addr>().ok()));
    }
    let gateways = network
        .ipam
        .iter()
        .flat_map(|ipam| ipam.config.iter().flatten());
    let gateways = gateways.filter_map(|range| range.gateway.as_ref()?.parse::<Ipv4Addr>().ok());
    used.extend(gateways);
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_range_is_given_once() {
        let range = Range::parse("10.1.2.64/28").unwrap();
        let mut used = BTreeSet::new();
        while let Some(address) = range.free(&used, "app") {
            assert!(used.insert(address), "{address} twice");
        }
        let ends = [used.first().unwrap(), used.last().unwrap()].map(ToString::to_string);
        assert_eq!(ends, ["10.1.2.66", "10.1.2.78"]);
        assert_eq!(used.len(), 13);
    }

    #[test]
    fn what_is_no_range_is_none() {
        for text in [
            "",
            "10.0.0.0",
            "fd00::/64",
            "10.0.0.0/31",
            "10.0.0.0/0",
            "x/16",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
        assert_eq!(Range::parse("172.18.0.0/16"), Range::parse("172.18.7.9/16"));
    }
}
