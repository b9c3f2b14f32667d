//! Brings the services of a release up.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, VolumeCreateRequest};
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;

use futures::future::join_all;

use super::super::naming::RELEASE_ID;
use super::super::run::is_running;
use super::ComposeExecutor;
use super::parts::Parts;

impl ComposeExecutor {
    /// Brings a placed release up and gives its address; what is up already stays.
    pub(super) async fn bring_up(
        &self,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<SocketAddr> {
        let placed = self.placed(spec).await?;
        if !self.has_all(&placed).await? {
            let number = spec.number;
            let message = format!(
                "an image of release {number} is no longer on the engine; deploy its commit again"
            );
            return Err(StepError::verdict(VerdictCode::ReleaseGone, message));
        }
        let instance = self.docker.instance().await?;
        let folder = self.docker.layout(&spec.slug).release(spec.number);
        let (parts, base) = self.parts(&instance, spec, &folder, ctx).await?;
        let name = instance.container(&spec.slug, spec.number);
        if let Some(found) = self.docker.client().find_container(&name).await? {
            let labels = found
                .config
                .as_ref()
                .and_then(|config| config.labels.as_ref());
            let id = labels.and_then(|labels| labels.get(RELEASE_ID));
            let is_its_own = id.is_some_and(|id| *id == spec.release.to_string());
            if is_its_own && is_running(&found) && self.is_whole(&parts).await? {
                return self.address(&parts, &found);
            }
            // Of a start that was cut off, or of another store's release.
            self.remove_generation(&spec.slug, spec.number, Duration::from_secs(1))
                .await?;
        }
        self.make_volumes(&parts).await?;
        self.start_kept(&parts, &placed, &base, ctx).await?;
        let generation = parts.generation(&placed.images);
        let called = parts.generation_name();
        let create = ["up".into(), "--no-start".into(), "--no-build".into()];
        let made = self
            .with_model(&called, &generation, create, &base, spec, ctx)
            .await?;
        if !made {
            return Err(start_failed(spec));
        }
        self.connect(&parts, &generation, &name).await?;
        self.wait_for_kept(&parts, ctx).await?;
        // Where no service waits for another the tool would do no more, and take longer.
        let waits = generation.services.values();
        let waits = waits.flat_map(|service| service.depends_on.iter()).count() > 0;
        if waits {
            let start = ["up".into(), "--detach".into(), "--no-build".into()];
            let up = self
                .with_model(&called, &generation, start, &base, spec, ctx)
                .await?;
            if !up {
                return Err(start_failed(spec));
            }
        } else {
            self.start_all(spec, ctx).await?;
        }
        let found = self.docker.client().find_container(&name).await?;
        let found = found.ok_or_else(|| {
            Fault::retryable("starting", &name, "somebody has removed it meanwhile")
        })?;
        self.address(&parts, &found)
    }

    /// Starts the containers of a generation, all at once.
    async fn start_all(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let docker = self.docker.client().docker().await?;
        let containers = self.containers_of(&spec.slug, spec.number).await?;
        let starts = containers.iter().map(|id| docker.start_container(id, None));
        let started = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            started = join_all(starts) => started,
        };
        for (id, started) in containers.iter().zip(started) {
            match started {
                Ok(()) => {}
                Err(error) if is_of_file(&error) => {
                    ctx.log.say(format!("{id}: {error}")).await;
                    return Err(start_failed(spec));
                }
                started => self.docker.client().step("starting", id, started)?,
            }
        }
        Ok(())
    }

    async fn make_volumes(&self, parts: &Parts<'_>) -> StepResult<()> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let labels = parts.instance.labels(&parts.spec.slug);
        for volume in parts.volumes().into_values().flatten() {
            let name = volume.name.unwrap_or_default();
            let request = VolumeCreateRequest {
                name: Some(name.clone()),
                labels: Some(labels.clone()),
                ..VolumeCreateRequest::default()
            };
            let made = docker.create_volume(request).await;
            client.step("making a volume", &name, made)?;
        }
        Ok(())
    }

    /// Whether all services of a generation are there.
    async fn is_whole(&self, parts: &Parts<'_>) -> StepResult<bool> {
        let spec = parts.spec;
        let there = self.containers_of(&spec.slug, spec.number).await?.len();
        Ok(there == parts.model.services.len() - parts.kept().len())
    }

    /// Where the entry answers: at the address that it was given.
    fn address(
        &self,
        parts: &Parts<'_>,
        found: &ContainerInspectResponse,
    ) -> StepResult<SocketAddr> {
        let name = found.name.as_deref().unwrap_or("a container");
        let settings = found.network_settings.as_ref();
        let networks = settings.and_then(|settings| settings.networks.as_ref());
        let endpoint = networks.and_then(|networks| networks.get(&parts.instance.network()));
        let given =
            endpoint.and_then(|endpoint| endpoint.ipam_config.as_ref()?.ipv4_address.clone());
        let address = given.and_then(|text| text.parse::<Ipv4Addr>().ok());
        let address = address.ok_or_else(|| {
            let reason = "it is not in deployr's network; remove it, and deploy again";
            Fault::permanent("looking for the address of", name, reason)
        })?;
        Ok((address, parts.entry.port).into())
    }
}

/// Whether the engine has refused what the file says, as a command that cannot be executed or a
/// user who is not there; and not for what may be otherwise the next time.
fn is_of_file(error: &Error) -> bool {
    const PASSING: [&str; 3] = [
        "address already in use",
        "no space left",
        "No such container",
    ];
    match error {
        Error::DockerResponseServerError { message, .. } => {
            !PASSING.iter().any(|words| message.contains(words))
        }
        _ => false,
    }
}

pub(super) fn start_failed(spec: &ReleaseSpec) -> StepError {
    let message = format!(
        "the services of release {} could not be started; why is in the deployment's log",
        spec.number
    );
    StepError::verdict(VerdictCode::StartFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_wrong_is_no_fault_of_the_engine() {
        let refused = |message: &str| {
            is_of_file(&Error::DockerResponseServerError {
                status_code: 500,
                message: message.to_owned(),
            })
        };
        assert!(refused(
            "unable to find user nosuch: no matching entries in passwd file"
        ));
        assert!(refused(
            r#"OCI runtime create failed: exec: "x": executable file not found"#
        ));
        assert!(!refused(
            "driver failed: listen tcp4 0.0.0.0:80: bind: address already in use"
        ));
        assert!(!refused("mkdir /var/lib/docker/x: no space left on device"));
        assert!(!refused("No such container: x"));
        assert!(!is_of_file(&Error::RequestTimeoutError));
    }
}
