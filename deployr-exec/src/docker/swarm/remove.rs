//! What goes when a release does. Found by labels, so that it can be done for one of which
//! nothing else is left.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::query_parameters::StopContainerOptions;
use deployr_core::error::StepResult;
use deployr_core::value::Slug;
use futures::future::try_join_all;

use super::super::client::if_there;
use super::super::remove::GRACE;
use super::SwarmExecutor;
use crate::local::blocking;

impl SwarmExecutor {
    /// The services of all its releases first, or they would bring their tasks up again.
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let mut numbers = self.with_service(slug).await?;
        let secrets = self.secrets(Some(slug)).await?;
        numbers.extend(secrets.iter().map(|secret| secret.number));
        let gone = numbers
            .into_iter()
            .map(|number| self.remove_services(slug, number, GRACE));
        try_join_all(gone).await?;
        self.docker.remove_project(slug, purge).await
    }

    /// Takes a release's services away and ends its tasks: asks first, kills after `grace`.
    pub(super) async fn remove_services(
        &self,
        slug: &Slug,
        number: i64,
        grace: Duration,
    ) -> StepResult<()> {
        let services = self.services(Some(slug)).await?;
        for service in services.iter().filter(|service| service.number == number) {
            self.remove_service(&service.id).await?;
        }
        let instance = self.docker.instance().await?;
        let containers = self.docker.containers(&instance, Some(slug)).await?;
        let ends = containers
            .iter()
            .filter(|container| container.number == number)
            .map(|container| self.end_container(&container.id, grace));
        try_join_all(ends).await?;
        let secrets = self.secrets(Some(slug)).await?;
        for secret in secrets.iter().filter(|secret| secret.number == number) {
            self.remove_secret(&secret.id).await?;
        }
        Ok(())
    }

    async fn remove_service(&self, id: &str) -> StepResult<()> {
        let client = self.docker.client();
        let removed = if_there(client.docker().await?.delete_service(id).await);
        client.step("removing a service", id, removed).map(drop)
    }

    async fn remove_secret(&self, id: &str) -> StepResult<()> {
        let client = self.docker.client();
        let removed = if_there(client.docker().await?.delete_secret(id).await);
        client.step("removing a secret", id, removed).map(drop)
    }

    /// Ends a task that is on this host. Swarm would do so by itself, but waits for two seconds
    /// first, until the news have spread in the mesh: no request is on its way any more here.
    async fn end_container(&self, id: &str, grace: Duration) -> StepResult<()> {
        let client = self.docker.client();
        let docker = client.docker().await?.clone();
        let docker = docker.with_timeout(grace + Duration::from_secs(60));
        let seconds = grace.as_millis().div_ceil(1000);
        let options = StopContainerOptions {
            t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            ..StopContainerOptions::default()
        };
        let stopped = if_there(docker.stop_container(id, Some(options)).await);
        client.step("stopping", id, stopped)?;
        client.remove_container(id).await
    }

    /// Removes the services, secrets, containers and images of this deployr that belong to no
    /// release which is placed, and says how many that were. To be called when deployr starts,
    /// before its workers do: they look no different while they are being made.
    ///
    /// # Errors
    ///
    /// A fault when one could not be removed.
    pub async fn remove_stale(&self) -> StepResult<usize> {
        let mut removed = 0;
        for service in self.services(None).await? {
            if !self.is_placed(&service.slug, service.number).await? {
                self.remove_services(&service.slug, service.number, Duration::ZERO)
                    .await?;
                removed += 1;
            }
        }
        for secret in self.secrets(None).await? {
            if !self.is_placed(&secret.slug, secret.number).await? {
                self.remove_secret(&secret.id).await?;
                removed += 1;
            }
        }
        Ok(removed + self.docker.remove_stale().await?)
    }

    async fn is_placed(&self, slug: &Slug, number: i64) -> StepResult<bool> {
        let layout = self.docker.layout(slug);
        let numbers = blocking(move || layout.numbers()).await?;
        Ok(numbers.contains(&number))
    }

    /// The releases of a project that have a service.
    pub(super) async fn with_service(&self, slug: &Slug) -> StepResult<BTreeSet<i64>> {
        let services = self.services(Some(slug)).await?;
        Ok(services.iter().map(|service| service.number).collect())
    }
}
