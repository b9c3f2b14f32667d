//! Images and containers by their names: looked at, fetched, removed.

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ImageInspect};
use bollard::query_parameters::{CreateImageOptions, RemoveContainerOptions, RemoveImageOptions};
use deployr_core::error::{Fault, StepResult};
use futures::TryStreamExt;

use super::client::{Client, if_there, status};
use super::logins::Logins;

impl Client {
    /// An image, if it is there.
    pub(super) async fn find_image(&self, id: &str) -> StepResult<Option<ImageInspect>> {
        let docker = self.docker().await?;
        let found = if_there(docker.inspect_image(id).await);
        self.step("looking at an image", id, found)
    }

    /// Fetches an image that is not there yet, with the engine's own configuration.
    pub(super) async fn ensure_image(&self, image: &str, logins: &Logins) -> StepResult<()> {
        match self.find_image(image).await? {
            Some(_) => Ok(()),
            None => self.pull(image, logins).await,
        }
    }

    pub(super) async fn pull(&self, image: &str, logins: &Logins) -> StepResult<()> {
        let docker = self.docker().await?;
        let options = CreateImageOptions {
            from_image: Some(image.to_owned()),
            // Without one all that there are would be fetched.
            tag: (!names_a_tag(image)).then(|| "latest".to_owned()),
            ..CreateImageOptions::default()
        };
        let pulled = docker.create_image(Some(options), None, logins.for_image(image));
        let pulled: Result<(), Error> = pulled.try_for_each(|_| async { Ok(()) }).await;
        pulled.map_err(|error| match status(&error) {
            Some(404) => {
                let reason = "there is no such image here, nor in its registry; mend its name, or \
                              say under images.logins in deployr.toml as whom it is fetched";
                Fault::permanent("fetching an image", image, reason)
                    .because(error)
                    .into()
            }
            _ if wants_login(&error.to_string()) => {
                let reason = format!(
                    "its registry wants a login that may have it ({error}); say under \
                     images.logins in deployr.toml as whom it is fetched, or mend the password"
                );
                Fault::permanent("fetching an image", image, reason).into()
            }
            _ => self.fault("fetching an image", image, error).into(),
        })
    }

    /// Takes a name from an image, which goes with it unless it has others.
    pub(super) async fn remove_image(&self, name: &str) -> StepResult<()> {
        let docker = self.docker().await?;
        let removed = docker
            .remove_image(name, None::<RemoveImageOptions>, None)
            .await;
        let removed = if_there(removed).map(drop);
        self.step("removing an image", name, removed)
    }

    /// A container, if it is there.
    pub(super) async fn find_container(
        &self,
        name: &str,
    ) -> StepResult<Option<ContainerInspectResponse>> {
        let docker = self.docker().await?;
        let found = if_there(docker.inspect_container(name, None).await);
        self.step("looking at a container", name, found)
    }

    /// Removes a container with what only it has, whether it runs or not. One that is gone,
    /// or is just going, is fine.
    pub(super) async fn remove_container(&self, name: &str) -> StepResult<()> {
        let docker = self.docker().await?;
        let options = RemoveContainerOptions {
            force: true,
            // Volumes without a name; those of shared paths have one.
            v: true,
            ..RemoveContainerOptions::default()
        };
        let removed = match docker.remove_container(name, Some(options)).await {
            Err(error) if status(&error) == Some(409) && is_going(&error) => Ok(()),
            removed => if_there(removed).map(drop),
        };
        self.step("removing", name, removed)
    }
}

fn is_going(error: &Error) -> bool {
    error.to_string().contains("already in progress")
}

/// Whether a registry has refused somebody, by what the engine tells of it.
pub(super) fn wants_login(text: &str) -> bool {
    let words = [
        "unauthorized",
        "no basic auth credentials",
        "authentication required",
        "authorization failed",
        "pull access denied",
        "401 Unauthorized",
        "denied: ",
    ];
    words.iter().any(|word| text.contains(word))
}

/// Whether a reference says which of the images of its name is meant.
fn names_a_tag(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.contains([':', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_registry_is_no_tag() {
        for (image, tagged) in [
            ("node", false),
            ("node:22", true),
            ("registry.example.com:5000/node", false),
            ("registry.example.com:5000/node:22", true),
            ("node@sha256:00", true),
        ] {
            assert_eq!(names_a_tag(image), tagged, "{image}");
        }
    }
}
