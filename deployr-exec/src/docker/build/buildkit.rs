//! A Dockerfile by BuildKit, for what only that can do: secrets that steps mount and no layer
//! keeps, caches, documents in place. Its own protocol needs a server at this end, which
//! Docker's client has: so that is run, with the values of secrets in its environment alone.
//!
//! What projects have is kept apart, also the layers that are kept: else one that was made with
//! a secret would be found by whoever builds the same lines without it.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use deployr_core::builder::BuildSpec;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict, VerdictCode};
use deployr_core::value::EnvName;

use super::room::Room;
use super::{DockerBuilder, dockerfile, verdict};
use crate::docker::archive::Pack;
use crate::docker::logins::Logins;
use crate::docker::program;

/// How Docker's client reaches BuildKit.
#[derive(Debug, Clone)]
pub(super) enum Client {
    /// By its plugin.
    Buildx(PathBuf),
    /// By itself, as those before 23 do.
    Alone(PathBuf),
}

/// Whether the recipe may be built so at all; looks at nothing but settings.
pub(super) fn check(builder: &DockerBuilder) -> Result<(), Verdict> {
    if builder.buildkit {
        return Ok(());
    }
    let message = "images.secrets and images.buildkit want BuildKit, which is not allowed here, \
                   as it holds no build to limits of memory or processors: allow it (the server: \
                   `docker_buildkit = true`), or take them out of deployr.toml; a value that is \
                   no secret can be one of images.args";
    Err(Verdict::new(VerdictCode::Unsupported, message))
}

/// Builds the context as the image of the room.
pub(super) async fn build(
    builder: &DockerBuilder,
    spec: &BuildSpec,
    room: &Room<'_>,
    context: Pack,
    logins: &Logins,
    ctx: &StepContext,
) -> StepResult<()> {
    check(builder)?;
    let client = builder.buildkit_client.get_or_try_init(find).await?;
    let settings = logins.settings(&builder.root)?;
    let mut command = match client {
        Client::Buildx(docker) => {
            let mut command = program::command(docker);
            command.args(["buildx", "build", "--load"]);
            command
        }
        Client::Alone(docker) => {
            let mut command = program::command(docker);
            command.env("DOCKER_BUILDKIT", "1").arg("build");
            command
        }
    };
    let socket = room.client.socket().display();
    command
        .env("DOCKER_HOST", format!("unix://{socket}"))
        .env("DOCKER_CONFIG", settings.path())
        .args(["--progress", "plain", "--file", "Dockerfile"])
        .args(["--tag", &room.image()]);
    for (name, value) in room.labels() {
        command.args(["--label", &format!("{name}={value}")]);
    }
    let caches = format!("{}-{}", room.instance.network(), spec.project);
    // It means nothing to steps, but makes them others than those of any other project.
    command.args(["--add-host", &format!("{caches}.invalid:127.0.0.1")]);
    command.args(["--build-arg", &format!("BUILDKIT_CACHE_MOUNT_NS={caches}")]);
    for (name, value) in dockerfile::args(builder, spec) {
        match is_read_by_client(&name) {
            true => command.args(["--build-arg", &format!("{name}={value}")]),
            // What a program is called with, all users of the machine may read.
            false => command.args(["--build-arg", &name]).env(name, value),
        };
    }
    for (number, name) in spec.recipe.images.secrets.iter().enumerate() {
        let value = spec.env.get(name.as_str()).ok_or_else(|| missing(name))?;
        // Under a name of ours: theirs could tell the client what to do.
        let variable = format!("DEPLOYR_SECRET_{number}");
        command.args(["--secret", &format!("id={name},env={variable}")]);
        command.env(variable, value.expose());
    }
    command.arg("-").current_dir(settings.path());
    let ended = program::run(command, Some(context.send()), true, ctx).await?;
    match ended.well {
        true => Ok(()),
        false => Err(failed(&ended.last)),
    }
}

/// Whether a variable of that name could tell the client, or what it is made of, what to do.
fn is_read_by_client(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "PATH",
        "HOME",
        "USER",
        "TERM",
        "TMPDIR",
        "NO_COLOR",
        "CI",
        "SOURCE_DATE_EPOCH",
    ];
    const PREFIXES: [&str; 12] = [
        "DOCKER_",
        "BUILDX_",
        "BUILDKIT_",
        "COMPOSE_",
        "OTEL_",
        "GRPC_",
        "LD_",
        "GO",
        "XDG_",
        "SSL_",
        "SSH_",
        "AWS_",
    ];
    let name = name.to_ascii_uppercase();
    let is_proxy = name.ends_with("_PROXY");
    is_proxy
        || NAMES.contains(&name.as_str())
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn missing(name: &EnvName) -> StepError {
    let message = format!(
        "images.secrets names {name}, which the project does not have; set it: \
         deployr env set <project> {name}=…"
    );
    StepError::verdict(VerdictCode::ConfigInvalid, message)
}

/// The first client on the way to programs that can do it.
async fn find() -> StepResult<Client> {
    let path = env::var_os("PATH").unwrap_or_default();
    for docker in env::split_paths(&path).map(|folder| folder.join("docker")) {
        if !is_program(&docker) {
            continue;
        }
        if says(&docker, &["buildx", "version"]).await.is_some() {
            return Ok(Client::Buildx(docker));
        }
        let version = says(&docker, &["--version"]).await.unwrap_or_default();
        if major(&version).is_some_and(|major| major < 23) {
            return Ok(Client::Alone(docker));
        }
    }
    let message = "images.secrets and images.buildkit want BuildKit, and the `docker` program of \
                   this machine cannot use it; install its plugin buildx (Debian: docker-buildx; \
                   Docker's own packages: docker-buildx-plugin)";
    Err(StepError::verdict(VerdictCode::Unsupported, message))
}

fn is_program(path: &Path) -> bool {
    let found = path.metadata();
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What it says, if it can do that.
async fn says(docker: &Path, args: &[&str]) -> Option<String> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut command = program::command(docker);
    command.args(args).stdin(Stdio::null());
    let output = command.output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// The first number of `Docker version 20.10.24, build …`.
fn major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("Docker version ")?;
    number.split('.').next()?.parse().ok()
}

/// What the client says of a build that did not end well, in its last line.
fn failed(said: &str) -> StepError {
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    verdict::of(last.unwrap_or("it says nothing").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_reads_is_not_put_into_its_environment() {
        for name in [
            "PATH",
            "DOCKER_HOST",
            "BUILDX_BUILDER",
            "HTTPS_PROXY",
            "no_proxy",
        ] {
            assert!(is_read_by_client(name), "{name}");
        }
        for name in ["NODE_ENV", "NPM_TOKEN", "PATHS", "DOCKER"] {
            assert!(!is_read_by_client(name), "{name}");
        }
    }

    #[test]
    fn the_version_of_a_client_is_read() {
        assert_eq!(
            major("Docker version 20.10.24+dfsg1, build 297e128"),
            Some(20)
        );
        assert_eq!(major("Docker version 28.2.2, build e6534b4\n"), Some(28));
        assert_eq!(major("podman version 4.3.1"), None);
    }
}
