//! The one connection to a host, over which all calls go: made when it is first needed,
//! made again when it is lost, ended when nobody has used it for a minute.

use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deployr_core::error::{Fault, StepResult};
use openssh::{ControlPersist, KnownHosts, SessionBuilder};
use tempfile::TempDir;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::config;
use super::target::SshTarget;

/// How many calls may be under way at a time; a server lets ten in, as a rule.
const CALLS: usize = 8;
const IDLE_SECONDS: usize = 60;

/// A host's connection, which may be there or not.
#[derive(Debug)]
pub(super) struct Session {
    target: SshTarget,
    patience: Duration,
    live: Mutex<Option<Arc<Live>>>,
    places: Semaphore,
}

/// A connection that was there a moment ago.
#[derive(Debug)]
pub(super) struct Live {
    // Before the folder, in which its socket is.
    pub(super) mux: openssh::Session,
    _folder: TempDir,
}

impl Session {
    pub(super) fn new(target: SshTarget, patience: Duration) -> Self {
        Self {
            target,
            patience,
            live: Mutex::default(),
            places: Semaphore::new(CALLS),
        }
    }

    pub(super) fn target(&self) -> &SshTarget {
        &self.target
    }

    /// How long the host may take to answer.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Waits until one more call may be made.
    pub(super) async fn place(&self) -> StepResult<SemaphorePermit<'_>> {
        let place = self.places.acquire().await;
        Ok(place.map_err(|error| Fault::permanent("connect", &self.target, error))?)
    }

    /// The connection: that which there is, or a new one.
    pub(super) async fn live(&self) -> StepResult<Arc<Live>> {
        let mut live = self.live.lock().await;
        if let Some(live) = &*live {
            return Ok(Arc::clone(live));
        }
        let new = Arc::new(self.connect().await?);
        Ok(Arc::clone(live.insert(new)))
    }

    /// After this one was lost: the next call makes another.
    pub(super) async fn forget(&self, lost: &Arc<Live>) {
        let mut live = self.live.lock().await;
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, lost)) {
            *live = None;
        }
    }

    async fn connect(&self) -> StepResult<Live> {
        let folder = self
            .write_files()
            .map_err(|error| Fault::io("write", "the configuration of ssh", error))?;
        let mut builder = SessionBuilder::default();
        builder
            .config_file(folder.path().join("config"))
            .known_hosts_check(KnownHosts::Strict)
            .control_directory(folder.path())
            .control_persist(NonZeroUsize::new(IDLE_SECONDS).map_or(
                ControlPersist::ClosedAfterInitialConnection,
                ControlPersist::IdleFor,
            ));
        // `ssh` has a limit of its own, which does not hold for all that it does.
        let limit = self.patience + Duration::from_secs(5);
        match timeout(limit, builder.connect_mux(config::NAME)).await {
            Ok(Ok(mux)) => Ok(Live {
                mux,
                _folder: folder,
            }),
            Ok(Err(error)) => Err(self.explain(&error).into()),
            Err(_) => Err(self.silent("connect").into()),
        }
    }

    fn write_files(&self) -> io::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("deployr-ssh-").tempdir()?;
        let pinned = folder.path().join("known_hosts");
        let files = config::files(&self.target, &pinned, self.patience);
        write_private(&folder.path().join("config"), &files.config)?;
        write_private(&pinned, &files.known_hosts)?;
        Ok(folder)
    }

    /// It may be busy, or gone, or the way to it may be.
    pub(super) fn silent(&self, operation: &'static str) -> Fault {
        let seconds = self.patience.as_secs_f32();
        let reason = format!(
            "the host did not answer within {seconds} s; see whether it is up and not \
             overloaded, then try again"
        );
        Fault::retryable(operation, &self.target, reason)
    }

    /// What `ssh` said when it could not connect.
    fn explain(&self, error: &openssh::Error) -> Fault {
        let target = &self.target;
        let text = match error {
            openssh::Error::Connect(cause) if cause.kind() == ErrorKind::NotFound => {
                let todo = "the program `ssh` is not on this machine; install openssh-client";
                return Fault::permanent("connect", target, todo);
            }
            openssh::Error::Connect(cause) | openssh::Error::Master(cause) => cause.to_string(),
            other => other.to_string(),
        };
        let said = last_lines(&text);
        let permanent = |todo: &str| {
            Fault::permanent("connect", target, format_args!("{todo} (ssh says: {said})"))
        };
        if text.contains("IDENTIFICATION HAS CHANGED") || text.contains("differs from the key") {
            return permanent(
                "its host key is not the one that is known for it. Either the host was set up \
                 anew, or somebody is in between: compare the key with what its operator says, \
                 then put it into host_key or the known_hosts file",
            );
        }
        if text.contains("Host key verification failed") || text.contains("host key is known") {
            return permanent(
                "its host key is not known. Compare the key with what its operator says, then \
                 put it into host_key or the known_hosts file",
            );
        }
        if text.contains("Permission denied") || text.contains("Too many authentication failures") {
            return permanent(
                "it does not let us in with this key; add the public key to \
                 ~/.ssh/authorized_keys of that user, and see that `key` is readable by the \
                 engine alone",
            );
        }
        if text.contains("Could not resolve") {
            return Fault::retryable(
                "connect",
                target,
                format_args!("its name is not known; see whether `host` is right ({said})"),
            );
        }
        Fault::retryable(
            "connect",
            target,
            format_args!(
                "{said}; see whether the host is up, sshd runs on that port, and no firewall \
                 is in between"
            ),
        )
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// The end of what a program said, on one line.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let said = lines[lines.len().saturating_sub(3)..].join("; ");
    said.chars().filter(|c| !c.is_control()).take(500).collect()
}
