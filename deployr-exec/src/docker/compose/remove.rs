//! What goes when a generation does. Found by labels, so that it can be done for a release of
//! which nothing else is left.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{ContainerSummary, NetworkDisconnectRequest};
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, ListNetworksOptions};
use deployr_core::error::StepResult;
use deployr_core::value::Slug;
use futures::future::try_join_all;

use super::super::client::{if_there, status};
use super::super::naming::RELEASE;
use super::ComposeExecutor;
use super::parts::NETWORK;

/// Borne by what the compose tool has made.
const MADE: &str = "com.docker.compose.project";

impl ComposeExecutor {
    /// All generations, and what is kept.
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.docker.remove_project(slug, purge).await?;
        // The network that the compose tool gives to what is kept has only its own labels.
        let instance = self.docker.instance().await?;
        let label = format!("{MADE}={}-{slug}", instance.network());
        let of_kept = HashMap::from([("label".to_owned(), vec![label])]);
        self.docker.remove_networks(of_kept).await
    }

    /// The containers of a generation.
    pub(super) async fn containers_of(&self, slug: &Slug, number: i64) -> StepResult<Vec<String>> {
        let all = self.containers(slug).await?;
        let of = |container: &ContainerSummary| number_of(container) == Some(number);
        let all = all.into_iter().filter(of);
        Ok(all.filter_map(|container| container.id).collect())
    }

    /// The numbers of the generations that have containers.
    pub(super) async fn generations(&self, slug: &Slug) -> StepResult<BTreeSet<i64>> {
        let all = self.containers(slug).await?;
        Ok(all.iter().filter_map(number_of).collect())
    }

    /// All that the tool has made for the project.
    pub(super) async fn containers(&self, slug: &Slug) -> StepResult<Vec<ContainerSummary>> {
        let client = self.docker.client();
        let instance = self.docker.instance().await?;
        let mut filters = instance.filter(Some(slug));
        if let Some(labels) = filters.get_mut("label") {
            labels.push(MADE.to_owned());
        }
        let options = ListContainersOptions {
            all: true,
            filters: Some(filters),
            ..ListContainersOptions::default()
        };
        let all = client.docker().await?.list_containers(Some(options)).await;
        client.step("listing containers of", slug, all)
    }

    /// Lets all containers of a generation come up by themselves from now on.
    pub(super) async fn restart_by_itself(&self, slug: &Slug, number: i64) -> StepResult<()> {
        for container in self.containers_of(slug, number).await? {
            self.docker.restart_by_itself(&container, true).await?;
        }
        Ok(())
    }

    /// Stops the containers of a generation, and removes them with its networks. Its images
    /// and its folder stay.
    pub(super) async fn remove_generation(
        &self,
        slug: &Slug,
        number: i64,
        grace: Duration,
    ) -> StepResult<()> {
        let containers = self.containers_of(slug, number).await?;
        let stop = containers
            .iter()
            .map(|container| self.docker.stop_container(container, grace));
        try_join_all(stop).await?;
        for container in &containers {
            self.docker.client().remove_container(container).await?;
        }
        self.remove_networks(slug, number).await
    }

    async fn remove_networks(&self, slug: &Slug, number: i64) -> StepResult<()> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let instance = self.docker.instance().await?;
        let mut filters = instance.filter(Some(slug));
        if let Some(labels) = filters.get_mut("label") {
            labels.extend([format!("{RELEASE}={number}"), NETWORK.to_owned()]);
        }
        let options = ListNetworksOptions {
            filters: Some(filters),
        };
        let all = docker.list_networks(Some(options)).await;
        for network in client.step("listing networks of", slug, all)? {
            let Some(name) = network.name else { continue };
            let found = if_there(docker.inspect_network(&name, None).await);
            let Some(found) = client.step("looking at a network", &name, found)? else {
                continue;
            };
            // Those that are kept.
            for container in found.containers.unwrap_or_default().into_keys() {
                let leave = NetworkDisconnectRequest {
                    container,
                    force: Some(true),
                };
                let left = if_there(docker.disconnect_network(&name, leave).await);
                client.step("leaving a network", &name, left)?;
            }
            let removed = if_there(docker.remove_network(&name).await);
            client.step("removing a network", &name, removed)?;
        }
        Ok(())
    }

    /// Removes the images that were built for a release.
    pub(super) async fn remove_images(&self, slug: &Slug, number: i64) -> StepResult<()> {
        let client = self.docker.client();
        let instance = self.docker.instance().await?;
        let wanted = format!("{}/*:{number}", instance.repository(slug));
        let filters = HashMap::from([("reference".to_owned(), vec![wanted.clone()])]);
        let options = ListImagesOptions {
            filters: Some(filters),
            ..ListImagesOptions::default()
        };
        let images = client.docker().await?.list_images(Some(options)).await;
        let images = client.step("listing images", &wanted, images)?;
        let suffix = format!(":{number}");
        for name in images.iter().flat_map(|image| &image.repo_tags) {
            if name.ends_with(&suffix) {
                self.docker.client().remove_image(name).await?;
            }
        }
        Ok(())
    }
}

fn number_of(container: &ContainerSummary) -> Option<i64> {
    container.labels.as_ref()?.get(RELEASE)?.parse().ok()
}

/// Whether something was there already.
pub(super) fn is_conflict(error: &bollard::errors::Error) -> bool {
    matches!(status(error), Some(403 | 409))
}
