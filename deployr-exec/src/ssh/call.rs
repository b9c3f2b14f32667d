//! One call of a host: a script, words for it, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use openssh::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::quote::Line;
use super::script::Script;
use super::session::{Live, Session, last_lines};

/// The exit codes of `host/lib.sh`.
const GONE: i32 = 64;
const REFUSED: i32 = 65;
const BUSY: i32 = 66;

/// How often a call is made in all when the connection is lost. Each may be made again.
pub(super) const TRIES: usize = 3;

/// How a script ended.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// The connection broke before the answer came.
#[derive(Debug)]
pub(super) struct Lost(pub(super) String);

impl Session {
    /// Runs a script within `limit` and gives what it prints. `stdin` is where secrets go.
    pub(super) async fn run(
        &self,
        script: Script,
        line: &Line,
        stdin: Option<&[u8]>,
        limit: Duration,
    ) -> StepResult<String> {
        let _place = self.place().await?;
        let mut lost = String::new();
        for _ in 0..TRIES {
            let live = self.live().await?;
            match timeout(limit, once(&live, line, stdin)).await {
                Ok(Ok(answer)) => {
                    let text = self.check(script.name, answer)?;
                    return Ok(String::from_utf8_lossy(&text).into_owned());
                }
                Ok(Err(Lost(reason))) => {
                    self.forget(&live).await;
                    lost = reason;
                }
                Err(_) => {
                    self.forget(&live).await;
                    return Err(self.silent(script.name).into());
                }
            }
        }
        Err(self.lost(script.name, &lost).into())
    }

    pub(super) fn lost(&self, operation: &'static str, reason: &str) -> Fault {
        let reason = format!(
            "the connection was lost ({reason}) and lost again; see whether the host and the \
             way to it are well, then try again"
        );
        Fault::retryable(operation, self.target(), reason)
    }

    /// What was printed, or what the script and the host's programs complain of.
    pub(super) fn check(&self, operation: &'static str, answer: Answer) -> StepResult<Vec<u8>> {
        let said = last_lines(&answer.stderr);
        let target = self.target();
        let advice = match answer.code {
            0 => return Ok(answer.stdout),
            GONE => return Err(StepError::verdict(VerdictCode::ReleaseGone, said)),
            REFUSED => return Err(Fault::permanent(operation, target, said).into()),
            BUSY => return Err(Fault::retryable(operation, target, said).into()),
            127 => Some("install the program on the host"),
            _ => advice(&answer.stderr),
        };
        Err(match advice {
            Some(advice) => Fault::permanent(operation, target, format_args!("{said}; {advice}")),
            None if said.is_empty() => {
                let reason = format!("the host's shell ended with {}", answer.code);
                Fault::retryable(operation, target, reason)
            }
            None => Fault::retryable(operation, target, said),
        }
        .into())
    }
}

/// What to do about the complaints of a system that do not pass by themselves.
pub(super) fn advice(text: &str) -> Option<&'static str> {
    let known = [
        ("No space left", "free some space on the host and try again"),
        (
            "quota exceeded",
            "free some space on the host, or raise the quota, and try again",
        ),
        (
            "Permission denied",
            "give the user that logs in access to it and try again",
        ),
        (
            "Operation not permitted",
            "give the user that logs in access to it and try again",
        ),
        (
            "Read-only file system",
            "mount it so that it can be written to, or use another root",
        ),
    ];
    let mut of = known.into_iter().filter(|(said, _)| text.contains(said));
    of.next().map(|(_, advice)| advice)
}

/// One try. A script that gets no answer across is cut off from its output, not killed.
async fn once(live: &Arc<Live>, line: &Line, stdin: Option<&[u8]>) -> Result<Answer, Lost> {
    let mut command = live.mux.raw_command(line.as_str());
    command
        .stdin(match stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().await?;
    let pipe = child.stdin().take();
    let feed = async {
        if let (Some(mut pipe), Some(text)) = (pipe, stdin) {
            // A script that ends before it has read all says why.
            let _ = pipe.write_all(text).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    ended(output)
}

/// Tells the end of a script from that of the connection.
pub(super) fn ended(output: Result<std::process::Output, openssh::Error>) -> Result<Answer, Lost> {
    match output {
        Ok(output) if output.status.code() == Some(255) => Err(Lost("it broke".to_owned())),
        Ok(output) => Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout: output.stdout,
        }),
        Err(openssh::Error::Remote(error)) => Ok(Answer {
            code: 127,
            stdout: Vec::new(),
            stderr: error.to_string(),
        }),
        Err(error) => Err(error.into()),
    }
}

impl From<openssh::Error> for Lost {
    fn from(error: openssh::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = error.to_string();
            cause = error.source();
        }
        Self(text)
    }
}
