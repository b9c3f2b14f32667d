//! How a project goes: all that bears its label, whichever kind of release it was of.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::NetworkDisconnectRequest;
use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptions, ListNetworksOptions, ListVolumesOptions,
    RemoveVolumeOptions,
};
use deployr_core::error::StepResult;
use deployr_core::executor::Executor;
use deployr_core::value::Slug;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::DockerExecutor;
use super::client::if_there;
use super::naming::Instance;

/// How long its containers have to end.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How long a network may still be in use by what has just ended.
const IN_USE: Duration = Duration::from_secs(15);

impl DockerExecutor {
    /// All but services of a swarm, which would bring their containers back: containers,
    /// networks, images, volumes where they are to be purged; and what says that they were
    /// there, last.
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let instance = self.instance().await?;
        self.remove_containers(&instance, slug).await?;
        self.remove_networks(instance.filter(Some(slug))).await?;
        self.remove_images(&instance, slug).await?;
        if purge {
            self.remove_volumes(&instance, slug).await?;
        }
        self.files().remove(slug, purge).await
    }

    async fn remove_containers(&self, instance: &Instance, slug: &Slug) -> StepResult<()> {
        let docker = self.client().docker().await?;
        let options = ListContainersOptions {
            all: true,
            filters: Some(instance.filter(Some(slug))),
            ..ListContainersOptions::default()
        };
        let all = docker.list_containers(Some(options)).await;
        let all = self.client().step("listing containers of", slug, all)?;
        let ids: Vec<String> = all.into_iter().filter_map(|one| one.id).collect();
        try_join_all(ids.iter().map(|id| self.stop_container(id, GRACE))).await?;
        for id in &ids {
            self.client().remove_container(id).await?;
        }
        Ok(())
    }

    /// Those that a filter finds.
    pub(super) async fn remove_networks(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> StepResult<()> {
        let client = self.client();
        let docker = client.docker().await?;
        let options = ListNetworksOptions {
            filters: Some(filters),
        };
        let all = docker.list_networks(Some(options)).await;
        for network in client.step("listing", "networks", all)? {
            let name = network.name.unwrap_or_default();
            let deadline = Instant::now() + IN_USE;
            loop {
                self.leave(&name).await?;
                match if_there(docker.remove_network(&name).await) {
                    Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                    removed => {
                        client.step("removing a network", &name, removed)?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes all out of a network that still are in it.
    async fn leave(&self, name: &str) -> StepResult<()> {
        let client = self.client();
        let docker = client.docker().await?;
        let found = if_there(docker.inspect_network(name, None).await);
        let found = client.step("looking at a network", name, found)?;
        let inside = found.and_then(|found| found.containers).unwrap_or_default();
        for container in inside.into_keys() {
            let leave = NetworkDisconnectRequest {
                container,
                force: Some(true),
            };
            // Whatever becomes of it is seen when the network is removed.
            let _ = docker.disconnect_network(name, leave).await;
        }
        Ok(())
    }

    async fn remove_images(&self, instance: &Instance, slug: &Slug) -> StepResult<()> {
        let client = self.client();
        let repository = instance.repository(slug);
        let wanted = vec![repository.clone(), format!("{repository}/*")];
        let options = ListImagesOptions {
            filters: Some(HashMap::from([("reference".to_owned(), wanted)])),
            ..ListImagesOptions::default()
        };
        let images = client.docker().await?.list_images(Some(options)).await;
        let images = client.step("listing images", &repository, images)?;
        let ours = [format!("{repository}:"), format!("{repository}/")];
        for name in images.iter().flat_map(|image| &image.repo_tags) {
            if ours.iter().any(|ours| name.starts_with(ours)) {
                client.remove_image(name).await?;
            }
        }
        Ok(())
    }

    async fn remove_volumes(&self, instance: &Instance, slug: &Slug) -> StepResult<()> {
        let client = self.client();
        let docker = client.docker().await?;
        let options = ListVolumesOptions {
            filters: Some(instance.filter(Some(slug))),
        };
        let all = client.step(
            "listing volumes of",
            slug,
            docker.list_volumes(Some(options)).await,
        )?;
        for volume in all.volumes.unwrap_or_default() {
            let removed = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>);
            let removed = if_there(removed.await);
            client.step("removing a volume", &volume.name, removed)?;
        }
        Ok(())
    }
}
