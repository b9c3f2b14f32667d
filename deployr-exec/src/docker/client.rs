//! The connection to the engine, and what its errors mean for those who deploy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use deployr_core::error::{Fault, StepError};
use tokio::sync::OnceCell;

/// For an answer to begin.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same where much is sent or made first. Who waits can stop at any time.
const LONG: Duration = Duration::from_secs(60 * 60);

/// A Docker engine behind a socket of this host. Connected to when it is first asked, so
/// that one which is away is a fault of that deployment alone.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    docker: OnceCell<Docker>,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            docker: OnceCell::new(),
        }
    }

    /// The engine, spoken to in the newest version of its language that both know.
    pub(super) async fn docker(&self) -> Result<&Docker, Fault> {
        let connect = async || {
            let path = self.socket.to_string_lossy();
            let patience = PATIENCE.as_secs();
            let docker = Docker::connect_with_unix(&path, patience, API_DEFAULT_VERSION)?;
            docker.negotiate_version().await
        };
        let connected = self.docker.get_or_try_init(connect).await;
        connected.map_err(|error| self.fault("connecting", "Docker", error))
    }

    /// The same, for what takes as long as there is much of it.
    pub(super) async fn patient_docker(&self) -> Result<Docker, Fault> {
        Ok(self.docker().await?.clone().with_timeout(LONG))
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the engine's answer means, and what to do about it.
    pub(super) fn fault(
        &self,
        operation: &'static str,
        subject: impl std::fmt::Display,
        error: Error,
    ) -> Fault {
        let socket = self.socket.display();
        let text = chain(&error);
        let (reason, passes) = match &error {
            _ if text.contains("ermission denied") && status(&error).is_none() => (
                format!("{socket} may not be used ({text}); let deployr's user into its group"),
                false,
            ),
            _ if text.contains("no space left on device") => (
                format!("Docker's disk is full ({text}); free some space"),
                false,
            ),
            Error::RequestTimeoutError => (
                format!(
                    "Docker has not answered within {} s; look what holds it up",
                    PATIENCE.as_secs()
                ),
                true,
            ),
            Error::DockerResponseServerError {
                status_code,
                message,
            } => {
                // What it refuses it refuses again; what it stumbles over may pass.
                (
                    message.trim().to_owned(),
                    *status_code >= 500 || *status_code == 409,
                )
            }
            _ => (
                format!(
                    "Docker does not answer at {socket} ({text}); start it, or name the socket \
                     that it has. What runs already is left as it is"
                ),
                true,
            ),
        };
        let fault = match passes {
            true => Fault::retryable(operation, subject, reason),
            false => Fault::permanent(operation, subject, reason),
        };
        fault.because(error)
    }

    /// The same for what has no other way to end.
    pub(super) fn step<T>(
        &self,
        operation: &'static str,
        subject: impl std::fmt::Display,
        answer: Result<T, Error>,
    ) -> Result<T, StepError> {
        answer.map_err(|error| self.fault(operation, subject, error).into())
    }
}

/// The status of an answer that is an error.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// None where there is no such thing.
pub(super) fn if_there<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An error with all that are underneath, which say what really happened.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(error) = below {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = error.source();
    }
    text
}
