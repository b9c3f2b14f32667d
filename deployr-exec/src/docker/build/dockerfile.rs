//! A repository's own Dockerfile: by the builder that every engine has, or by BuildKit where
//! that is asked for.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use bollard::body_try_stream;
use bollard::errors::Error;
use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptions;
use deployr_core::builder::{Artifact, ArtifactContent, BuildSpec};
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepResult};
use deployr_core::log::LogStream;
use futures::StreamExt;

use super::room::Room;
use super::{DockerBuilder, buildkit, verdict};
use crate::docker::archive::Pack;
use crate::docker::ignore::Ignore;
use crate::docker::logins::Logins;
use crate::local::blocking;
use crate::local::build::app_folder;

/// Proxies are what Docker knows by itself; they are no part of the image.
const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A tenth of a second, which a share of processors is counted in.
const PERIOD: i32 = 100_000;

pub(super) async fn build(
    builder: &DockerBuilder,
    spec: &BuildSpec,
    room: &Room<'_>,
    ctx: &StepContext,
) -> StepResult<Artifact> {
    let (checkout, root) = (spec.workspace.checkout.clone(), spec.recipe.root.clone());
    let (folder, ignore) = blocking(move || {
        let folder = app_folder(&checkout, root.as_ref())?;
        let ignore = Ignore::of(&folder)?;
        Ok((folder, ignore))
    })
    .await?;
    let context = context(folder, ignore);
    let logins = Logins::of(&spec.recipe.images, &spec.env)?;
    match spec.recipe.images.needs_buildkit() {
        true => buildkit::build(builder, spec, room, context, &logins, ctx).await?,
        false => classic(builder, spec, room, context, &logins, ctx).await?,
    }
    let image = room.client.find_image(&room.image()).await?;
    let (id, bytes) = image
        .and_then(|image| Some((image.id?, image.size.unwrap_or_default())))
        .ok_or_else(|| {
            let reason = "Docker ended the build without an image";
            Fault::retryable("building", "the Dockerfile", reason)
        })?;
    Ok(Artifact {
        content: ArtifactContent::Image(id.clone()),
        digest: id,
        bytes: bytes.unsigned_abs(),
    })
}

/// By the builder that every engine has, within the room's network.
async fn classic(
    builder: &DockerBuilder,
    spec: &BuildSpec,
    room: &Room<'_>,
    context: Pack,
    logins: &Logins,
    ctx: &StepContext,
) -> StepResult<()> {
    let client = room.client;
    let docker = client.patient_docker().await?;
    let options = options(builder, spec, room);
    let context = body_try_stream(context.send());
    let mut said = docker.build_image(options, logins.all(), Some(context));
    while let Some(piece) = said.next().await {
        match piece {
            Ok(info) => tell(&info, ctx).await,
            Err(Error::DockerStreamError { error }) => return Err(verdict::of(&error)),
            Err(Error::DockerResponseServerError {
                status_code: 400,
                message,
            }) => {
                return Err(verdict::refused(&message));
            }
            Err(error) => return Err(client.fault("building", "the Dockerfile", error).into()),
        }
    }
    Ok(())
}

fn options(builder: &DockerBuilder, spec: &BuildSpec, room: &Room<'_>) -> BuildImageOptions {
    let limits = &builder.limits;
    let memory = limits
        .memory_bytes
        .map(|bytes| i32::try_from(bytes).unwrap_or(i32::MAX));
    let args = args(builder, spec);
    BuildImageOptions {
        dockerfile: "Dockerfile".to_owned(),
        t: Some(room.image()),
        rm: true,
        forcerm: true,
        memory,
        memswap: memory,
        cpuperiod: limits.cpus.map(|_| PERIOD),
        cpuquota: limits.cpus.map(|cpus| (cpus * f64::from(PERIOD)) as i32),
        networkmode: Some(room.id()),
        labels: Some(room.labels()),
        buildargs: (!args.is_empty()).then_some(args),
        ..BuildImageOptions::default()
    }
}

/// The proxies, and over them what the project says.
pub(super) fn args(builder: &DockerBuilder, spec: &BuildSpec) -> HashMap<String, String> {
    let passed = builder.pass_env.iter();
    let proxies = passed.filter(|name| PROXIES.contains(&name.as_str()));
    let proxies = proxies.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
    let own = spec.recipe.images.args.iter();
    let own = own.map(|(name, value)| (name.to_string(), value.to_string()));
    proxies.chain(own).collect()
}

/// The app's folder, as a repository has it, but not its history, nor what it says itself that
/// it does not want there.
fn context(folder: PathBuf, ignore: Ignore) -> Pack {
    Pack {
        from: folder,
        to: PathBuf::new(),
        owned: BTreeSet::new(),
        owner: 0,
        without: Some(".git"),
        ignore,
    }
}

async fn tell(info: &BuildInfo, ctx: &StepContext) {
    if let Some(text) = &info.stream {
        ctx.log.write(LogStream::Stdout, text.as_bytes()).await;
    } else if let (Some(status), None) = (&info.status, &info.progress_detail) {
        // Of images that are fetched; how far each is would be a line every moment.
        let id = info.id.as_deref().unwrap_or_default();
        let line = format!("{id} {status}\n");
        ctx.log
            .write(LogStream::Stdout, line.trim_start().as_bytes())
            .await;
    }
}
