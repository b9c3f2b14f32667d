//! The node of the swarm that this host is.

use std::net::IpAddr;
use std::path::Path;

use bollard::models::LocalNodeState;
use deployr_core::error::{Fault, StepResult};

use super::SwarmExecutor;

/// There where the kernel can be the routing mesh of a swarm.
const IPVS: &str = "/proc/net/ip_vs";

/// This host, as the swarm knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) address: IpAddr,
}

impl SwarmExecutor {
    pub(super) async fn node(&self) -> StepResult<Node> {
        let client = self.docker.client();
        let socket = client.socket().display();
        let info = client.docker().await?.info().await;
        let swarm = client.step("asking", &socket, info)?.swarm;
        let swarm = swarm.unwrap_or_default();
        let refuse = |reason: &str| Fault::permanent("using the swarm of", &socket, reason);
        match swarm.local_node_state {
            Some(LocalNodeState::ACTIVE) => {}
            Some(LocalNodeState::LOCKED) => {
                return Err(refuse("it is locked; `docker swarm unlock` opens it").into());
            }
            Some(LocalNodeState::PENDING) => {
                let reason = "it has not found the other nodes yet";
                return Err(Fault::retryable("using the swarm of", &socket, reason).into());
            }
            _ => {
                let reason = "this engine is in no swarm; `docker swarm init` makes it one, \
                              `docker swarm join` lets it into another";
                return Err(refuse(reason).into());
            }
        }
        if swarm.control_available != Some(true) {
            let reason = "this node is no manager, and only those take orders; let deployr run on \
                          one, or make it one by `docker node promote` on another";
            return Err(refuse(reason).into());
        }
        let address = swarm.node_addr.and_then(|text| text.parse().ok());
        match swarm.node_id.zip(address) {
            Some((id, address)) => Ok(Node { id, address }),
            None => Err(refuse("it does not say which node this is").into()),
        }
    }

    /// Whether requests reach the tasks through the routing mesh.
    pub(super) fn is_meshed(&self) -> bool {
        self.replicas > 1
    }

    /// Said before anything is started: without the mesh no request would get there.
    pub(super) fn check_mesh(&self) -> StepResult<()> {
        if !self.is_meshed() || Path::new(IPVS).exists() {
            return Ok(());
        }
        let reason = format!(
            "{} replicas are reached through the swarm's routing mesh, for which this kernel lacks \
             IPVS; load its module `ip_vs`, or let there be one replica",
            self.replicas
        );
        Err(Fault::permanent("using", "the routing mesh", reason).into())
    }
}
