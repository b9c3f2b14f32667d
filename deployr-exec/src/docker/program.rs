//! Docker's own programs, where the engine itself cannot do what they do: run with arguments
//! that no shell reads, and with nothing of this process's environment but what they need.

use std::io;
use std::path::Path;
use std::process::Stdio;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::log::LogStream;
use futures::{Stream, StreamExt};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::local::build::lifeline;

/// How much of what a program prints is kept for those who need it as a whole.
const MOST: u64 = 4 << 20;
/// What is kept of the end of its errors.
const TAIL: usize = 16 << 10;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) well: bool,
    /// What it printed, where that was not shown.
    #[cfg_attr(
        not(feature = "compose"),
        expect(dead_code, reason = "only Compose reads it")
    )]
    pub(super) stdout: String,
    /// The end of what it said besides.
    pub(super) last: String,
}

/// A program with nothing of this process's environment but the way to programs, and to
/// people's own settings of them.
pub(super) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear();
    for name in ["PATH", "HOME", "DOCKER_CONFIG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs a program to its end. What it says goes into the log; what it prints does where
/// `show` says so, else it is kept. When it shall stop, or this process dies, it is killed
/// with all that it has started.
pub(super) async fn run(
    mut command: Command,
    input: Option<impl Stream<Item = io::Result<Bytes>> + Send>,
    show: bool,
    ctx: &StepContext,
) -> StepResult<Ended> {
    let name = command.as_std().get_program().to_owned();
    let fault = |error| StepError::from(Fault::io("run", name.display(), error));
    command
        .stdin(match &input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let _held = lifeline::tie(command.as_std_mut()).map_err(fault)?;
    let mut child = command.spawn().map_err(fault)?;
    // It would hold on to the lifeline's other end.
    drop(command);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        let (Some(mut pipe), Some(input)) = (stdin, input) else {
            return io::Result::Ok(());
        };
        let mut input = std::pin::pin!(input);
        while let Some(piece) = input.next().await {
            // One that ends without having read it all says why.
            if pipe.write_all(&piece?).await.is_err() {
                break;
            }
        }
        Ok(())
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
        match stderr {
            Some(pipe) => pump(pipe, LogStream::Stderr, ctx).await,
            None => Vec::new(),
        }
    };
    let all = async {
        // Half of the input must not pass for the whole.
        let said = async { tokio::join!(read, tell).1 };
        let (last, fed) = tokio::join!(said, feed);
        fed?;
        Ok((child.wait().await?, last))
    };
    let (status, last) = tokio::select! {
        biased;
        () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
        ended = all => ended.map_err(fault)?,
    };
    Ok(Ended {
        well: status.success(),
        stdout: String::from_utf8_lossy(&kept).into_owned(),
        last: String::from_utf8_lossy(&last).into_owned(),
    })
}

/// Carries a stream into the log, and gives the end of it.
async fn pump(mut pipe: impl AsyncRead + Unpin, stream: LogStream, ctx: &StepContext) -> Vec<u8> {
    let (mut piece, mut last) = (vec![0; 16 << 10], Vec::new());
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        if let Some(bytes) = piece.get(..read) {
            ctx.log.write(stream, bytes).await;
            last.extend_from_slice(bytes);
            let surplus = last.len().saturating_sub(TAIL);
            last.drain(..surplus);
        }
    }
    last
}
