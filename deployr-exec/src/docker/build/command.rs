//! Commands of a preset or of the settings, each in a container of its own over the same
//! workspace.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, WaitContainerOptions,
};
use deployr_core::builder::BuildSpec;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::log::LogStream;
use futures::{StreamExt, TryStreamExt};

use super::room::Room;
use super::{DockerBuilder, no_image, verdict};
use crate::docker::container::{USER, signed};
use crate::docker::logins::Logins;
use crate::local::blocking;
use crate::local::build::env::{Passed, environment};
use crate::local::build::{app_folder, workspace};

/// Where the workspace and the cache are for the build.
const WORKSPACE: &str = "/workspace";
const CACHE: &str = "/cache";

/// Runs the recipe's commands, one after the other.
pub(super) async fn run_all(
    builder: &DockerBuilder,
    spec: &BuildSpec,
    room: &Room<'_>,
    ctx: &StepContext,
) -> StepResult<()> {
    let image = builder.image.as_deref().ok_or_else(no_image)?;
    let client = room.client;
    let logins = Logins::of(&spec.recipe.images, &spec.env)?;
    client.ensure_image(image, &logins).await?;
    let passed = Passed::from_env(&builder.pass_env);
    let (root, folder) = (builder.root.clone(), spec.workspace.path.clone());
    let project = spec.project.to_string();
    let (user, mut mounts, _held) = blocking(move || {
        let (cache, held) = workspace::cache(&root, &project)?;
        let user = hand_over(&[&folder, &cache])?;
        let mounts = vec![bind(&folder, WORKSPACE)?, bind(&cache, CACHE)?];
        Ok((user, mounts, held))
    })
    .await?;
    // Several variables may name the same.
    let files: BTreeSet<&PathBuf> = passed.files.iter().filter(|file| file.exists()).collect();
    mounts.extend(files.into_iter().filter_map(|file| {
        let path = file.to_str()?;
        let bound = bind(file, path).ok()?;
        Some(Mount {
            read_only: Some(true),
            ..bound
        })
    }));
    let env: Vec<String> = environment(
        room.id().as_str(),
        String::new(),
        WORKSPACE.as_ref(),
        CACHE.as_ref(),
        passed,
        &spec.env,
    )
    .into_iter()
    // The image says where its programs are, unless the project does.
    .filter(|(name, value)| name != "PATH" || !value.is_empty())
    .filter(|(name, _)| !spec.recipe.images.is_password(name))
    .map(|(name, value)| format!("{name}={value}"))
    .collect();
    for line in &spec.recipe.commands {
        ctx.log.say(format!("$ {line}")).await;
        let (checkout, root) = (spec.workspace.checkout.clone(), spec.recipe.root.clone());
        // Each time anew: the last command may have put a link in its place.
        let dir = blocking(move || {
            let top = fs::canonicalize(&checkout)
                .map_err(|error| Fault::io("entering", checkout.display(), error))?;
            let folder = app_folder(&checkout, root.as_ref())?;
            Ok(folder
                .strip_prefix(&top)
                .map(Path::to_owned)
                .unwrap_or_default())
        })
        .await?;
        let dir = Path::new(WORKSPACE).join("checkout").join(dir);
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec![String::new()]),
            cmd: Some(["/bin/sh", "-c", line.as_str()].map(str::to_owned).to_vec()),
            env: Some(env.clone()),
            user: Some(user.clone()),
            working_dir: Some(dir.to_string_lossy().into_owned()),
            labels: Some(room.labels()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(HostConfig {
                init: Some(true),
                memory: builder.limits.memory_bytes.map(signed),
                memory_swap: builder.limits.memory_bytes.map(signed),
                nano_cpus: builder.limits.cpus.map(|cpus| (cpus * 1e9) as i64),
                pids_limit: builder.limits.processes.map(signed),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                network_mode: Some(room.id()),
                mounts: Some(mounts.clone()),
                // It is read while it is said; nobody looks for it later.
                log_config: Some(HostConfigLogConfig {
                    typ: Some("none".to_owned()),
                    config: None,
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let (code, starved) = run(room, body, ctx).await?;
        if code != 0 {
            return Err(verdict::failed(
                line.as_str(),
                code,
                starved,
                &builder.limits,
            ));
        }
    }
    Ok(())
}

/// Runs a container to its end, with its output in the log. Gives its exit code, and whether
/// it wanted for memory.
async fn run(
    room: &Room<'_>,
    body: ContainerCreateBody,
    ctx: &StepContext,
) -> StepResult<(i64, bool)> {
    let (client, name) = (room.client, room.id());
    let docker = client.docker().await?;
    let options = CreateContainerOptions {
        name: Some(name.clone()),
        ..CreateContainerOptions::default()
    };
    let made = docker.create_container(Some(options), body).await;
    client.step("making a container", &name, made)?;
    // Before it begins, so that nothing is missed.
    let attach = AttachContainerOptions {
        stream: true,
        stdout: true,
        stderr: true,
        ..AttachContainerOptions::default()
    };
    let attached = docker.attach_container(&name, Some(attach)).await;
    let attached = client.step("listening to", &name, attached)?;
    if let Err(error) = docker.start_container(&name, None).await {
        let text = error.to_string();
        if text.contains("exec:") {
            let message = format!("the builder's image cannot run commands: {text}");
            return Err(StepError::verdict(VerdictCode::Unsupported, message));
        }
        return Err(client.fault("starting", &name, error).into());
    }
    let mut output = attached.output;
    let mut cut = None;
    while let Some(piece) = output.next().await {
        let piece = client.step("listening to", &name, piece)?;
        let stream = match &piece {
            LogOutput::StdErr { .. } => LogStream::Stderr,
            _ => LogStream::Stdout,
        };
        let bytes = piece.into_bytes();
        cut = (bytes.last() != Some(&b'\n')).then_some(stream);
        ctx.log.write(stream, &bytes).await;
    }
    // Its last line ends with it, and not after what comes next.
    if let Some(stream) = cut {
        ctx.log.write(stream, b"\n").await;
    }
    let options = WaitContainerOptions {
        condition: "not-running".to_owned(),
    };
    let ended = docker.wait_container(&name, Some(options)).try_next().await;
    let code = match ended {
        Ok(Some(ended)) => ended.status_code,
        Err(Error::DockerContainerWaitError { code, .. }) => code,
        Ok(None) => return Err(Fault::retryable("watching", &name, "Docker went away").into()),
        Err(error) => return Err(client.fault("watching", &name, error).into()),
    };
    let state = client
        .find_container(&name)
        .await?
        .and_then(|found| found.state);
    let starved = state.is_some_and(|state| state.oom_killed == Some(true));
    client.remove_container(&name).await?;
    Ok((code, starved))
}

/// Lets the build's user have these folders, and says who that is: where this is root,
/// somebody whom nobody knows; else whoever this is, since it may give nothing away.
fn hand_over(folders: &[&Path]) -> StepResult<String> {
    if !nix::unistd::Uid::effective().is_root() {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        return Ok(format!("{uid}:{gid}"));
    }
    for folder in folders {
        give(folder).map_err(|error| Fault::io("handing over", folder.display(), error))?;
    }
    Ok(format!("{USER}:{USER}"))
}

/// With all that is in it, as far as it is not given yet. Links are not followed.
fn give(path: &Path) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let user = u32::try_from(USER).unwrap_or(u32::MAX);
    if meta.uid() != user {
        lchown(path, Some(user), Some(user))?;
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path())?;
        }
    }
    Ok(())
}

fn bind(from: &Path, to: &str) -> StepResult<Mount> {
    let real =
        fs::canonicalize(from).map_err(|error| Fault::io("mounting", from.display(), error))?;
    let source = real.to_str().map(str::to_owned).ok_or_else(|| {
        let reason = "its path is not in UTF-8; give the builder another folder";
        Fault::permanent("mounting", from.display(), reason)
    })?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(source),
        target: Some(to.to_owned()),
        ..Mount::default()
    })
}
