//! What a build has on the engine: a network of its own, by which everything that it runs is
//! found, also the containers that Docker makes for the steps of a Dockerfile.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions};
use deployr_core::context::StepContext;
use deployr_core::error::StepResult;

use crate::docker::client::{Client, if_there};
use crate::docker::naming::{BUILD, Instance};

/// The room of one build.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub(super) client: &'a Client,
    pub(super) instance: &'a Instance,
    /// The workspace's.
    name: &'a str,
}

impl<'a> Room<'a> {
    pub(super) fn new(client: &'a Client, instance: &'a Instance, name: &'a str) -> Self {
        Self {
            client,
            instance,
            name,
        }
    }

    /// Its network, and its container while there is one.
    pub(super) fn id(&self) -> String {
        self.instance.build(self.name)
    }

    /// What an image is called that it makes.
    pub(super) fn image(&self) -> String {
        self.instance.built_image(self.name)
    }

    pub(super) fn labels(&self) -> HashMap<String, String> {
        self.instance.build_labels(self.name)
    }

    pub(super) async fn make(&self) -> StepResult<()> {
        self.clear().await?;
        let docker = self.client.docker().await?;
        let network = NetworkCreateRequest {
            name: self.id(),
            labels: Some(self.labels()),
            ..NetworkCreateRequest::default()
        };
        let made = docker.create_network(network).await;
        self.client.step("making a network", self.id(), made)?;
        Ok(())
    }

    /// Ends everything in it, and waits until it has ended.
    pub(super) async fn clear(&self) -> StepResult<()> {
        clear(self.client, &self.id()).await
    }
}

async fn clear(client: &Client, network: &str) -> StepResult<()> {
    let docker = client.docker().await?;
    client.remove_container(network).await?;
    loop {
        let options = ListContainersOptions {
            all: true,
            filters: Some([("network".to_owned(), vec![network.to_owned()])].into()),
            ..ListContainersOptions::default()
        };
        let all = docker.list_containers(Some(options)).await;
        let all = client.step("listing the containers of", network, all)?;
        let ids: Vec<String> = all.into_iter().filter_map(|found| found.id).collect();
        if ids.is_empty() {
            break;
        }
        for id in ids {
            client.remove_container(&id).await?;
        }
    }
    let removed = if_there(docker.remove_network(network).await).map(drop);
    client.step("removing", network, removed)
}

/// Ends what earlier attempts at the deployment still run, and this one from an earlier time.
pub(super) async fn remove_earlier(
    client: &Client,
    instance: &Instance,
    ctx: &StepContext,
) -> StepResult<()> {
    let prefix = format!("{}-", ctx.deployment);
    for (network, build) in networks(client, instance).await? {
        let attempt = build
            .strip_prefix(&prefix)
            .and_then(|rest| rest.parse().ok());
        if attempt.is_some_and(|attempt: i64| attempt <= ctx.attempt) {
            clear(client, &network).await?;
        }
    }
    Ok(())
}

pub(super) async fn remove_all(client: &Client, instance: &Instance) -> StepResult<()> {
    for (network, build) in networks(client, instance).await? {
        clear(client, &network).await?;
        client.remove_image(&instance.built_image(&build)).await?;
    }
    Ok(())
}

/// The networks of builds, and which builds they are of.
async fn networks(client: &Client, instance: &Instance) -> StepResult<Vec<(String, String)>> {
    let docker = client.docker().await?;
    let options = ListNetworksOptions {
        filters: Some(instance.filter(None)),
    };
    let networks = docker.list_networks(Some(options)).await;
    let networks = client.step("listing networks of", instance.network(), networks)?;
    let of =
        |network: bollard::models::Network| Some((network.name?, network.labels?.remove(BUILD)?));
    Ok(networks.into_iter().filter_map(of).collect())
}
