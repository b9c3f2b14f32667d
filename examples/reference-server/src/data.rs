//! The data directory, and the lock that makes one process of it the engine.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Error, Result};

/// Where everything is kept; for its owner's eyes only.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory where it is not there, mode 0700. One that is there keeps its
    /// mode: the operator may have opened it for a web server that serves the sites.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let data = Self::at(path);
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(path)
            .and_then(|()| private(&data.mirrors()))
            .and_then(|()| private(&data.builds()))
            .map_err(|error| {
                Error::io(format!("use {} as data directory", path.display()), error)
                    .hint("choose another with --data DIR")
            })?;
        Ok(data)
    }

    /// One that need not be there.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// One that is there already.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        let data = Self::at(path);
        if data.database().is_file() {
            return Ok(data);
        }
        Err(Error::fault(format!("there is nothing of deployr in {}", path.display())).hint(
            "`deployr deploy <repository>` makes it; where it is elsewhere, name it with --data DIR",
        ))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("deployr.db")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.0.join("secret.key")
    }

    pub(crate) fn mirrors(&self) -> PathBuf {
        self.0.join("mirrors")
    }

    pub(crate) fn builds(&self) -> PathBuf {
        self.0.join("builds")
    }

    /// What the Docker target knows of its releases.
    #[cfg(feature = "docker")]
    pub(crate) fn docker(&self) -> PathBuf {
        self.0.join("docker")
    }

    #[cfg(feature = "docker")]
    pub(crate) fn docker_builds(&self) -> PathBuf {
        self.0.join("docker-builds")
    }

    /// The releases of compose files.
    #[cfg(feature = "docker")]
    pub(crate) fn compose(&self) -> PathBuf {
        self.0.join("compose")
    }

    /// Where these are made ready.
    #[cfg(feature = "docker")]
    pub(crate) fn compose_builds(&self) -> PathBuf {
        self.0.join("compose-builds")
    }

    /// What the target `swarm` knows of its releases.
    #[cfg(feature = "docker")]
    pub(crate) fn swarm(&self) -> PathBuf {
        self.0.join("swarm")
    }

    #[cfg(feature = "docker")]
    pub(crate) fn swarm_builds(&self) -> PathBuf {
        self.0.join("swarm-builds")
    }

    pub(crate) fn sites(&self) -> PathBuf {
        self.0.join("sites")
    }

    /// The process that works on this directory, found without taking its lock, which
    /// would turn away one that is just starting.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let mut file = File::open(self.lock_file()).ok()?;
        let inode = format!(":{}", file.metadata().ok()?.ino());
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let holder: Holder = serde_json::from_str(&text).ok()?;
        // `1: FLOCK  ADVISORY  WRITE <pid> <disk>:<inode> 0 EOF`
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        let holds = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else {
                return false;
            };
            file.ends_with(&inode) && pid.parse() == Ok(holder.pid)
        };
        locks.lines().any(holds).then_some(holder)
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("engine.lock")
    }

    /// Becomes the one process that works on this directory, or learns which one is.
    pub(crate) fn lock(&self, command: &str) -> Result<Lock> {
        let path = self.lock_file();
        let failed = |error| Error::io(format!("lock {}", path.display()), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = EngineLock(file);
                lock.note(&Holder {
                    pid: std::process::id(),
                    command: command.into(),
                    address: None,
                    domain: None,
                })?;
                Ok(Lock::Taken(lock))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                // Unreadable for the moment in which it is written.
                let unknown = Holder {
                    pid: 0,
                    command: "another command".into(),
                    address: None,
                    domain: None,
                };
                Ok(Lock::Held(serde_json::from_str(&text).unwrap_or(unknown)))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// What came of an attempt to take the lock.
#[derive(Debug)]
pub(crate) enum Lock {
    Taken(EngineLock),
    Held(Holder),
}

impl Lock {
    /// The lock, or an error that names the process which has it.
    pub(crate) fn or_refuse(self) -> Result<EngineLock> {
        match self {
            Self::Taken(lock) => Ok(lock),
            Self::Held(holder) => Err(Error::fault(format!(
                "this data directory is in use by {holder}"
            ))
            .hint(
                "stop that process first, or give this one a directory of its own with --data DIR",
            )),
        }
    }
}

/// The lock, for as long as this lives. The system takes it back when the process dies.
#[derive(Debug)]
pub(crate) struct EngineLock(File);

impl EngineLock {
    /// Writes down who holds it, for others to read.
    pub(crate) fn note(&mut self, holder: &Holder) -> Result<()> {
        let mut write = || {
            self.0.set_len(0)?;
            self.0.rewind()?;
            self.0.write_all(serde_json::to_string(holder)?.as_bytes())
        };
        write().map_err(|error| Error::io("write the lock file", error))
    }
}

/// The process that works on a data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) command: String,
    /// Where it serves, if it does.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) domain: Option<String>,
}

impl Holder {
    /// Whether it goes on until it is stopped, so that work can be left to it. One whose
    /// name cannot be read is waited for.
    pub(crate) fn stays(&self) -> bool {
        ["serve", "worker", "demo"].contains(&self.command.as_str())
    }

    /// The URL of a project that it serves.
    pub(crate) fn url(&self, slug: &str) -> Option<String> {
        let domain = self.domain.as_ref()?;
        Some(match self.address?.port() {
            80 => format!("http://{slug}.{domain}"),
            port => format!("http://{slug}.{domain}:{port}"),
        })
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            0 => write!(f, "another process"),
            pid => write!(f, "process {pid} (`deployr {}`)", self.command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_holds_the_lock_and_the_others_learn_who() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        assert!(data.holder().is_none());
        let lock = data.lock("serve").unwrap().or_refuse().unwrap();
        assert_eq!(data.holder().unwrap().pid, std::process::id());
        let refused = data
            .lock("worker")
            .unwrap()
            .or_refuse()
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(&format!("process {} (`deployr serve`)", std::process::id())),
            "{refused}"
        );
        drop(lock);
        assert!(data.holder().is_none());
        assert!(matches!(data.lock("worker").unwrap(), Lock::Taken(_)));
    }

    #[test]
    fn the_directory_is_made_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("a/data")).unwrap();
        for path in [data.path(), &data.mirrors(), &data.builds()] {
            assert_eq!(
                std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o700,
                "{}",
                path.display()
            );
        }
    }
}
