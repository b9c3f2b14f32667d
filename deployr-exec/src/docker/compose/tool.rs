//! The compose tool: the real one, called as a program that is given its file on its standard
//! input, so that no value of it is written to a disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::value::EnvSet;
use futures::stream;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::super::program::{self, Ended};

/// The two ways in which the tool is installed: as a part of the client, or on its own.
const WAYS: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

/// The tool, and the engine that it shall use.
#[derive(Debug)]
pub(super) struct Tool {
    socket: PathBuf,
}

/// The way that works here, once it was found.
static WAY: OnceCell<&'static [&'static str]> = OnceCell::const_new();

/// One call.
pub(super) struct Call<'a> {
    /// What comes behind the tool's name; never anything secret.
    pub(super) args: Vec<OsString>,
    pub(super) folder: &'a Path,
    /// What values the file may name, and containers are given.
    pub(super) env: &'a EnvSet,
    /// Where its own settings are, if not where people have theirs: the logins of registries.
    pub(super) settings: Option<&'a Path>,
    /// The file itself, where it is not in the folder.
    pub(super) input: Option<Vec<u8>>,
}

impl Tool {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// What the tool says of its version.
    pub(super) async fn version(&self) -> StepResult<String> {
        let way = way().await?;
        let output = command(way).args(["version", "--short"]).output().await;
        let output = output.map_err(|error| Fault::io("run", way.join(" "), error))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs it. Its errors go into the log, and so does what it prints, if `show`.
    pub(super) async fn run(
        &self,
        call: Call<'_>,
        show: bool,
        ctx: &StepContext,
    ) -> StepResult<Ended> {
        let mut command = command(way().await?);
        for (name, value) in call.env.iter() {
            if !is_its_own(name.as_str()) {
                command.env(name.as_str(), value.expose());
            }
        }
        if let Some(settings) = call.settings {
            command.env("DOCKER_CONFIG", settings);
        }
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            // Builds are the engine's classic ones: BuildKit's caches are everybody's, and the
            // tool cannot keep those of projects apart.
            .env("DOCKER_BUILDKIT", "0")
            .env("COMPOSE_DOCKER_CLI_BUILD", "0")
            .args(&call.args)
            .current_dir(call.folder);
        let input = call.input.map(|input| stream::iter([Ok(input.into())]));
        program::run(command, input, show, ctx).await
    }
}

/// Whether a variable would tell the tool what to do, and not the containers.
pub(super) fn is_its_own(name: &str) -> bool {
    PREFIXES.iter().any(|own| name.starts_with(own)) || OWN.contains(&name)
}

async fn way() -> StepResult<&'static [&'static str]> {
    let find = async || {
        for way in WAYS {
            let mut version = command(way);
            version
                .arg("version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if version.status().await.is_ok_and(|status| status.success()) {
                return Ok(way);
            }
        }
        let reason = "neither `docker compose` nor `docker-compose` can be run here; install \
                      one of them (on Debian: apt-get install docker-compose)";
        Err(StepError::from(Fault::permanent(
            "running", "compose", reason,
        )))
    };
    WAY.get_or_try_init(find).await.copied()
}

/// How the names begin of what tells the tool, or the client within it, what to do.
const PREFIXES: [&str; 4] = ["DOCKER_", "COMPOSE_", "BUILDKIT_", "BUILDX_"];

/// What the tool itself needs to be what it is.
const OWN: [&str; 5] = [
    "PATH",
    "HOME",
    "PYTHONPATH",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
];

/// The tool, as any of Docker's programs.
fn command(way: &[&str]) -> Command {
    let mut command = program::command(way.first().copied().unwrap_or_default());
    command.args(way.iter().skip(1));
    command
}
