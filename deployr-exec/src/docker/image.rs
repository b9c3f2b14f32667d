//! Images: one a release, under a name that says which.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::body_try_stream;
use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters::{
    CommitContainerOptions, CreateContainerOptions, ListImagesOptions, TagImageOptions,
    UploadToContainerOptions,
};
use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;

use tokio::time::sleep;

use super::DockerExecutor;
use super::archive::Pack;
use super::client::status;
use super::container::{APP, USER};
use super::ignore::Ignore;
use super::logins::Logins;
use super::naming::{Instance, RELEASE};

/// How long the engine may take to carry out what a worker asked for that is gone.
const LATE: Duration = Duration::from_secs(10);

impl DockerExecutor {
    /// Makes the artifact the image of the release, and gives its id. Until it is whole, no
    /// image has the release's name.
    pub(super) async fn make_image(
        &self,
        instance: &Instance,
        spec: &ReleaseSpec,
        artifact: &Artifact,
    ) -> StepResult<String> {
        match &artifact.content {
            ArtifactContent::Folder(folder) => self.image_of(instance, spec, folder.clone()).await,
            ArtifactContent::Image(id) => self.name_image(instance, spec, id).await,
            _ => Err(StepError::verdict(
                VerdictCode::Unsupported,
                "a Docker engine runs images and folders, and the build made neither",
            )),
        }
    }

    async fn name_image(
        &self,
        instance: &Instance,
        spec: &ReleaseSpec,
        id: &str,
    ) -> StepResult<String> {
        let docker = self.client().docker().await?;
        let Some(found) = self.client().find_image(id).await? else {
            let reason = "the image is no longer there; it has to be built again";
            return Err(Fault::retryable("placing", id, reason).into());
        };
        let options = TagImageOptions {
            repo: Some(instance.repository(&spec.slug)),
            tag: Some(spec.number.to_string()),
        };
        let tagged = docker.tag_image(id, Some(options)).await;
        self.client().step("naming an image", id, tagged)?;
        Ok(found.id.unwrap_or_else(|| id.to_owned()))
    }

    /// The base image with the folder in it. Made in a container that is never started.
    async fn image_of(
        &self,
        instance: &Instance,
        spec: &ReleaseSpec,
        folder: PathBuf,
    ) -> StepResult<String> {
        let client = self.client();
        let docker = client.patient_docker().await?;
        let logins = Logins::of(&spec.recipe.images, &spec.env)?;
        let base = self.base_for(&logins).await?;
        let (slug, number) = (&spec.slug, spec.number);
        let name = format!("{}-image", instance.container(slug, number));
        let mut labels = instance.labels(slug);
        labels.insert(RELEASE.to_owned(), number.to_string());
        let body = ContainerCreateBody {
            image: Some(base.clone()),
            cmd: Some(vec!["/".to_owned()]),
            network_disabled: Some(true),
            labels: Some(labels.clone()),
            ..ContainerCreateBody::default()
        };
        let named = CreateContainerOptions {
            name: Some(name.clone()),
            ..CreateContainerOptions::default()
        };
        let began = Instant::now();
        let made = loop {
            let (named, body) = (named.clone(), body.clone());
            let made = docker.create_container(Some(named), body).await;
            let is_taken = matches!(&made, Err(error) if status(error) == Some(409));
            if !is_taken || began.elapsed() > LATE {
                break made;
            }
            // What a dead worker asked for comes about after it was looked for.
            client.remove_container(&name).await?;
            sleep(Duration::from_millis(50)).await;
        };
        client.step("making an image on", &base, made)?;
        let upload = UploadToContainerOptions {
            path: "/".to_owned(),
            ..UploadToContainerOptions::default()
        };
        let shown = folder.display().to_string();
        let files = body_try_stream(pack(spec, folder).send());
        let sent = docker.upload_to_container(&name, Some(upload), files).await;
        client.step("sending files to Docker", shown, sent)?;
        let commit = CommitContainerOptions {
            container: Some(name.clone()),
            repo: Some(instance.repository(slug)),
            tag: Some(number.to_string()),
            ..CommitContainerOptions::default()
        };
        let config = ContainerConfig {
            labels: Some(labels),
            working_dir: Some(format!("/{APP}")),
            user: Some(format!("{USER}:{USER}")),
            ..ContainerConfig::default()
        };
        let committed = docker.commit_container(commit, config).await;
        let image = client.step("making an image on", &base, committed)?;
        self.client().remove_container(&name).await?;
        Ok(image.id)
    }

    /// The image that folders run on, fetched where it is not there yet.
    async fn base_for(&self, logins: &Logins) -> StepResult<String> {
        let base = self.needs_base()?;
        self.client().ensure_image(base, logins).await?;
        Ok(base.to_owned())
    }

    /// The releases of a project, or of all, that have an image.
    pub(super) async fn images(
        &self,
        instance: &Instance,
        slug: Option<&Slug>,
    ) -> StepResult<BTreeSet<(Slug, i64)>> {
        let docker = self.client().docker().await?;
        let wanted = match slug {
            Some(slug) => instance.repository(slug),
            None => instance.repositories(),
        };
        let filters = HashMap::from([("reference".to_owned(), vec![wanted.clone()])]);
        let options = ListImagesOptions {
            filters: Some(filters),
            ..ListImagesOptions::default()
        };
        let images = docker.list_images(Some(options)).await;
        let images = self.client().step("listing images", wanted, images)?;
        let names = images.iter().flat_map(|image| &image.repo_tags);
        Ok(names.filter_map(|name| instance.release_of(name)).collect())
    }
}

/// What of the folder goes into the image, and whose it is there.
fn pack(spec: &ReleaseSpec, folder: PathBuf) -> Pack {
    let recipe = &spec.recipe;
    let shared = super::container::shared_folders(&recipe.shared);
    let owned = recipe.writable.iter().chain(shared);
    Pack {
        from: folder,
        to: APP.into(),
        owned: owned.map(|path| path.as_path().to_owned()).collect(),
        owner: USER,
        without: None,
        ignore: Ignore::default(),
    }
}
