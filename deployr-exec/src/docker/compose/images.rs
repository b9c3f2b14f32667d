//! The file of a release, resolved and checked, and the images that it needs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use deployr_core::builder::Artifact;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Runtime;
use tempfile::TempDir;

use super::super::logins::Logins;
use super::super::naming::Instance;
use super::model::Model;
use super::parts::{Entry, Parts};
use super::place::{self, Placed};
use super::tool::Call;
use super::{ComposeExecutor, rules};
use crate::local::blocking;

impl ComposeExecutor {
    /// Reads, resolves and checks the file of a checkout.
    pub(super) async fn parts<'a>(
        &'a self,
        instance: &'a Instance,
        spec: &'a ReleaseSpec,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<(Parts<'a>, PathBuf)> {
        let Runtime::Compose {
            file,
            service,
            port,
        } = &spec.recipe.runtime
        else {
            let message = "its recipe names no compose file; deploy its commit again";
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        };
        let (checkout, wanted) = (folder.to_owned(), file.clone());
        let path = blocking(move || place::file(&checkout, wanted.as_ref())).await?;
        let base = path.parent().unwrap_or(folder).to_owned();
        let checkout = folder.to_owned();
        let model = match self.resolved.take(spec) {
            Some(model) => blocking(move || Ok(rules::check_model(model, &checkout)?)).await?,
            None => {
                let text = self.resolve(path, &base, spec, ctx).await?;
                blocking(move || Ok(rules::check(&text, &checkout)?)).await?
            }
        };
        let entry = Entry::of(&model, service.as_deref(), *port)?;
        let parts = Parts {
            model,
            entry,
            instance,
            spec,
            limits: self.docker.run_limits(),
        };
        Ok((parts, base))
    }

    /// What the tool makes of a file.
    async fn resolve(
        &self,
        file: PathBuf,
        base: &Path,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<String> {
        let env = spec.recipe.images.without_passwords(&spec.env);
        let call = Call {
            args: vec!["-f".into(), file.into(), "config".into()],
            folder: base,
            env: &env,
            settings: None,
            input: None,
        };
        let ended = self.tool.run(call, false, ctx).await?;
        match ended.well {
            true => Ok(ended.stdout),
            false => Err(StepError::verdict(
                VerdictCode::ConfigInvalid,
                "the compose tool cannot read the file; what it says is in the log",
            )),
        }
    }

    /// Builds what is to be built, fetches what is not here yet; gives the ids, and what
    /// the file says.
    pub(super) async fn make_images(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<(Placed, Model)> {
        let instance = self.docker.instance().await?;
        let folder = place::folder(artifact)?;
        let (parts, base) = self.parts(&instance, spec, &folder, ctx).await?;
        for (name, why) in parts.kept() {
            let say = format!(
                "{name} is kept beside all releases, as it has {why}: where it changes, it is \
                 restarted in place"
            );
            ctx.log.say(say).await;
        }
        let logins = Logins::of(&spec.recipe.images, &spec.env)?;
        let mut images = BTreeMap::new();
        let builds = parts.builds();
        if !builds.services.is_empty() {
            let name = parts.generation_name();
            let well = self
                .with_model(&name, &builds, ["build".into()], &base, spec, ctx)
                .await?;
            if !well {
                let message = "an image of the compose file could not be built; what the build \
                               said is in the log";
                return Err(StepError::verdict(VerdictCode::BuildFailed, message));
            }
        }
        for (name, service) in &parts.model.services {
            let image = match (&service.build, &service.image) {
                (Some(_), _) | (None, None) => parts.image(name),
                (None, Some(image)) => image.clone(),
            };
            let mut found = self.docker.client().find_image(&image).await?;
            if service.build.is_none() && found.is_none() {
                ctx.log.say(format!("fetching {image} for {name}")).await;
                tokio::select! {
                    biased;
                    () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
                    pulled = self.docker.client().pull(&image, &logins) => pulled?,
                }
                found = self.docker.client().find_image(&image).await?;
            }
            let id = found.and_then(|found| found.id).ok_or_else(|| {
                Fault::retryable("looking at an image", &image, "it is gone again")
            })?;
            images.insert(name.clone(), id);
        }
        Ok((Placed { images }, parts.model))
    }

    /// Whether all images of a release are on the engine.
    pub(super) async fn has_all(&self, placed: &Placed) -> StepResult<bool> {
        for id in placed.images.values() {
            if self.docker.client().find_image(id).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the tool on a file that is nowhere but in memory.
    pub(super) async fn with_model<const N: usize>(
        &self,
        name: &str,
        model: &Model,
        what: [OsString; N],
        folder: &Path,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<bool> {
        let head = [
            "-p".into(),
            name.into(),
            "--project-directory".into(),
            folder.into(),
            "-f".into(),
            "-".into(),
        ];
        let logins = Logins::of(&spec.recipe.images, &spec.env)?;
        let settings = match logins.is_empty() {
            true => None,
            false => Some(logins.settings(self.docker.root())?),
        };
        let env = spec.recipe.images.without_passwords(&spec.env);
        let input = serde_json::to_vec(model);
        let input = input.map_err(|error| Fault::permanent("writing", name, error))?;
        let call = Call {
            args: head.into_iter().chain(what).collect(),
            folder,
            env: &env,
            settings: settings.as_ref().map(TempDir::path),
            input: Some(input),
        };
        Ok(self.tool.run(call, true, ctx).await?.well)
    }
}
