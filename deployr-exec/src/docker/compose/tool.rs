//! The compose tool: the real one, called as a program that is given its file on its standard
//! input, so that no value of it is ever written to a disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::log::LogStream;
use deployr_core::value::EnvSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The two ways in which the tool is installed: as a part of the client, or on its own.
const WAYS: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

/// How much of what the tool prints is kept for those who need it as a whole.
const MOST: u64 = 4 << 20;

/// The tool, and the engine that it shall use.
#[derive(Debug)]
pub(super) struct Tool {
    socket: PathBuf,
    way: OnceCell<&'static [&'static str]>,
}

/// One call.
pub(super) struct Call<'a> {
    /// What comes behind the tool's name; never anything secret.
    pub(super) args: Vec<OsString>,
    pub(super) folder: &'a Path,
    /// What values the file may name, and containers are given.
    pub(super) env: &'a EnvSet,
    /// The file itself, where it is not in the folder.
    pub(super) input: Option<Vec<u8>>,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) well: bool,
    pub(super) stdout: String,
}

impl Tool {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            way: OnceCell::new(),
        }
    }

    /// What the tool says of its version.
    pub(super) async fn version(&self) -> StepResult<String> {
        let way = self.way().await?;
        let output = command(way).args(["version", "--short"]).output().await;
        let output = output.map_err(|error| Fault::io("run", way.join(" "), error))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    async fn way(&self) -> StepResult<&'static [&'static str]> {
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
        self.way.get_or_try_init(find).await.copied()
    }

    /// Runs it. Its errors go into the log, and so does what it prints, if `show`.
    pub(super) async fn run(
        &self,
        call: Call<'_>,
        show: bool,
        ctx: &StepContext,
    ) -> StepResult<Ended> {
        let way = self.way().await?;
        let mut command = command(way);
        for (name, value) in call.env.iter() {
            // These would tell the tool what to do, and not the containers.
            let name = name.as_str();
            if !name.starts_with("DOCKER_") && !name.starts_with("COMPOSE_") && !OWN.contains(&name)
            {
                command.env(name, value.expose());
            }
        }
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .args(&call.args)
            .current_dir(call.folder)
            .stdin(match &call.input {
                Some(_) => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let fault = |error| StepError::from(Fault::io("run", way.join(" "), error));
        let mut child = command.spawn().map_err(fault)?;
        let (input, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let (Some(mut pipe), Some(input)) = (input, &call.input) {
                // One that ends without having read it says why.
                let _ = pipe.write_all(input).await;
            }
        };
        let mut kept = Vec::new();
        let read = async {
            let Some(mut pipe) = stdout else { return };
            if show {
                pump(pipe, LogStream::Stdout, ctx).await;
            } else {
                let _ = (&mut pipe).take(MOST).read_to_end(&mut kept).await;
                let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
            }
        };
        let tell = async {
            if let Some(pipe) = stderr {
                pump(pipe, LogStream::Stderr, ctx).await;
            }
        };
        let all = async {
            tokio::join!(feed, read, tell);
            child.wait().await
        };
        let status = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            status = all => status.map_err(fault)?,
        };
        Ok(Ended {
            well: status.success(),
            stdout: String::from_utf8_lossy(&kept).into_owned(),
        })
    }
}

/// What the tool itself needs to be what it is.
const OWN: [&str; 5] = [
    "PATH",
    "HOME",
    "PYTHONPATH",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
];

/// The tool, with nothing of this process's environment but the way to programs, and to the
/// logins of registries.
fn command(way: &[&str]) -> Command {
    let mut command = Command::new(way.first().copied().unwrap_or_default());
    command.args(way.iter().skip(1)).env_clear();
    for name in ["PATH", "HOME", "DOCKER_CONFIG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

async fn pump(mut pipe: impl tokio::io::AsyncRead + Unpin, stream: LogStream, ctx: &StepContext) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        if let Some(bytes) = piece.get(..read) {
            ctx.log.write(stream, bytes).await;
        }
    }
}
