//! The files of a release, on their way to a host.

use std::path::Path;
use std::process::Stdio as Pipe;
use std::sync::Arc;

use deployr_core::error::{Fault, StepError, StepResult};
use openssh::Stdio;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::call::{Answer, Lost, TRIES, advice, ended};
use super::quote::Line;
use super::script;
use super::session::{Live, Session, last_lines};

/// What is sent where.
pub(super) struct Upload<'a> {
    pub(super) slug: &'a str,
    pub(super) from: &'a Path,
    /// Begins the names of folders that are not whole yet.
    pub(super) name: String,
    /// The project's folder on the host.
    pub(super) base: String,
    /// A release there that is like this one, where both sides have `rsync`.
    pub(super) like: Option<String>,
    /// Files that are the same may be the same file: nobody will write into them.
    pub(super) may_link: bool,
}

enum Failed {
    Lost(Lost),
    For(StepError),
}

impl Upload<'_> {
    /// Sends all, again where the connection is lost. Gives the name of the folder.
    pub(super) async fn send(
        &self,
        session: &Session,
        cancel: &CancellationToken,
    ) -> StepResult<String> {
        let _place = session.place().await?;
        let mut reason = String::new();
        for attempt in 0..TRIES {
            // Of its own, as what was cut off may still be at it.
            let name = format!("{}.{attempt}.tmp", self.name);
            let live = session.live().await?;
            let sent = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(StepError::Stopped),
                sent = self.once(session, &live, &name) => sent,
            };
            match sent {
                Ok(()) => return Ok(name),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::Lost(Lost(why))) => {
                    session.forget(&live).await;
                    reason = why;
                }
            }
        }
        Err(session.lost("upload", &reason).into())
    }

    async fn once(&self, session: &Session, live: &Arc<Live>, name: &str) -> Result<(), Failed> {
        if let Some(like) = &self.like
            && self.changes(session, live, name, like).await?
        {
            return Ok(());
        }
        self.all(session, live, name).await
    }

    /// Sends only what is not there already. False where this machine has no `rsync`.
    async fn changes(
        &self,
        session: &Session,
        live: &Arc<Live>,
        name: &str,
        like: &str,
    ) -> Result<bool, Failed> {
        let socket = live.mux.control_socket().display();
        // Over our connection, and by no other way.
        let shell = format!("ssh -F none -S '{socket}' -o ProxyCommand=false -o BatchMode=yes");
        let kind = if self.may_link { "link" } else { "copy" };
        let mut from = self.from.as_os_str().to_owned();
        from.push("/");
        let mut rsync = Command::new("rsync");
        rsync
            // By content: each build writes all its files anew.
            .args(["-rlpc", "--protect-args", "-e", &shell])
            .arg(format!("--{kind}-dest={like}"))
            .arg("--")
            .arg(from)
            .arg(format!("deployr:{}/releases/{name}/", self.base))
            .stdin(Pipe::null())
            .stdout(Pipe::null())
            .stderr(Pipe::piped())
            .kill_on_drop(true);
        let output = match rsync.output().await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            output => output.map_err(|error| failed(Fault::io("run", "rsync", error)))?,
        };
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => Ok(true),
            // Its words for a connection that broke.
            Some(10 | 12 | 30 | 35 | 255) if advice(&said).is_none() => {
                Err(Failed::Lost(Lost(last_lines(&said))))
            }
            code => {
                let code = code.unwrap_or(1);
                Err(complain(session, code, &format!("rsync: {said}")))
            }
        }
    }

    async fn all(&self, session: &Session, live: &Arc<Live>, name: &str) -> Result<(), Failed> {
        let local = |error| failed(Fault::io("run", "tar", error));
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(self.from)
            .args(["-cf", "-", "."])
            .stdin(Pipe::null())
            .stdout(Pipe::piped())
            .stderr(Pipe::piped())
            .kill_on_drop(true);
        let mut tar = tar.spawn().map_err(local)?;
        let stream = tar
            .stdout
            .take()
            .ok_or_else(|| std::io::Error::other("no pipe"))
            .and_then(tokio::process::ChildStdout::into_owned_fd)
            .map_err(local)?;
        let line = Line::new(script::RECEIVE, &session.target().root, self.slug).word(name);
        let mut command = live.mux.raw_command(line.as_str());
        command
            .stdin(Stdio::from(stream))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .await
            .map_err(|error| Failed::Lost(error.into()))?;
        // Or else a `tar` here would not notice that the one there has ended.
        drop(command);
        let (there, here) = tokio::join!(child.wait_with_output(), tar.wait_with_output());
        let answer = ended(there).map_err(Failed::Lost)?;
        session
            .check(script::RECEIVE.name, answer)
            .map_err(Failed::For)?;
        let here = here.map_err(local)?;
        if here.status.success() {
            return Ok(());
        }
        let said = last_lines(&String::from_utf8_lossy(&here.stderr));
        let from = self.from.display();
        Err(failed(Fault::retryable(
            "read",
            from,
            format_args!("tar: {said}"),
        )))
    }
}

fn failed(fault: Fault) -> Failed {
    Failed::For(fault.into())
}

fn complain(session: &Session, code: i32, said: &str) -> Failed {
    let answer = Answer {
        code: if code == 0 { 1 } else { code.min(63) },
        stdout: Vec::new(),
        stderr: said.to_owned(),
    };
    match session.check("upload", answer) {
        Err(error) => Failed::For(error),
        Ok(_) => failed(Fault::retryable("upload", session.target(), said)),
    }
}
