//! Variables that a project wants as files: secrets of the swarm, which its nodes keep in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::models::{SecretSpec, TaskSpecContainerSpecFile, TaskSpecContainerSpecSecrets};
use bollard::query_parameters::ListSecretsOptions;
use deployr_core::error::StepResult;
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::{EnvSet, Slug};

use super::super::client::{if_there, status};
use super::super::container::Blueprint;
use super::super::naming::{PROJECT, RELEASE};
use super::SwarmExecutor;

/// Whether the project says that it reads a variable from where Docker mounts secrets. Swarm
/// has no secret without a byte.
pub(super) fn is_secret(env: &EnvSet, name: &str) -> bool {
    let path = env.get(&format!("{name}_FILE"));
    path.is_some_and(|path| path.expose() == format!("/run/secrets/{name}"))
        && env
            .get(name)
            .is_some_and(|value| !value.expose().is_empty())
}

impl SwarmExecutor {
    /// Makes the secrets of a release; those that are there already are the same.
    pub(super) async fn make_secrets(
        &self,
        blueprint: &Blueprint<'_>,
    ) -> StepResult<Vec<TaskSpecContainerSpecSecrets>> {
        let ReleaseSpec {
            slug, number, env, ..
        } = blueprint.spec;
        let mut made = Vec::new();
        for (variable, value) in env.iter() {
            let variable = variable.as_str();
            if !is_secret(env, variable) {
                continue;
            }
            let name = blueprint.instance.secret(slug, *number, variable);
            let id = self
                .make_secret(SecretSpec {
                    name: Some(name.clone()),
                    labels: Some(blueprint.labels()),
                    data: Some(STANDARD.encode(value.expose())),
                    ..SecretSpec::default()
                })
                .await?;
            // Who runs a folder is known; an image's own user is not.
            let (owner, mode) = match blueprint.user() {
                Some(user) => (user.to_string(), 0o400),
                None => ("0".to_owned(), 0o444),
            };
            made.push(TaskSpecContainerSpecSecrets {
                file: Some(TaskSpecContainerSpecFile {
                    name: Some(variable.to_owned()),
                    uid: Some(owner.clone()),
                    gid: Some(owner),
                    mode: Some(mode),
                }),
                secret_id: Some(id),
                secret_name: Some(name),
            });
        }
        Ok(made)
    }

    async fn make_secret(&self, secret: SecretSpec) -> StepResult<String> {
        let client = self.docker.client();
        let docker = client.docker().await?;
        let name = secret.name.clone().unwrap_or_default();
        let made = match docker.create_secret(secret.clone()).await {
            // Of a start that was cut off, or of another store's release: nothing uses it, as
            // there is no service.
            Err(error) if status(&error) == Some(409) => {
                let removed = if_there(docker.delete_secret(&name).await);
                client.step("removing a secret", &name, removed)?;
                docker.create_secret(secret).await
            }
            made => made,
        };
        Ok(client.step("making a secret", &name, made)?.id)
    }

    /// The secrets that releases have, or had.
    pub(super) async fn secrets(&self, slug: Option<&Slug>) -> StepResult<Vec<Secret>> {
        let client = self.docker.client();
        let instance = self.docker.instance().await?;
        let options = ListSecretsOptions {
            filters: Some(instance.filter(slug)),
        };
        let all = client.docker().await?.list_secrets(Some(options)).await;
        let all = client.step("listing secrets of", instance.network(), all)?;
        let of = |secret: bollard::models::Secret| {
            let labels = secret.spec?.labels?;
            Some(Secret {
                id: secret.id?,
                slug: Slug::parse(labels.get(PROJECT)?).ok()?,
                number: labels.get(RELEASE)?.parse().ok()?,
            })
        };
        Ok(all.into_iter().filter_map(of).collect())
    }
}

/// A secret that some release has, or had.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) id: String,
    pub(super) slug: Slug,
    pub(super) number: i64,
}
