//! Where everything of a project lies, and the two ways in which it is changed: a
//! file by a rename over it, several things together under the project's lock.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::Slug;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The lock is only ever held for some milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A project's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) base: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path, slug: &Slug) -> Self {
        Self {
            base: root.join(slug.as_str()),
        }
    }

    pub(super) fn releases(&self) -> PathBuf {
        self.base.join("releases")
    }

    pub(super) fn release(&self, number: i64) -> PathBuf {
        self.releases().join(number.to_string())
    }

    pub(super) fn shared(&self) -> PathBuf {
        self.base.join("shared")
    }

    pub(super) fn current(&self) -> PathBuf {
        self.base.join("current")
    }

    pub(super) fn turn(&self) -> PathBuf {
        self.base.join("turn")
    }

    pub(super) fn run_folder(&self) -> PathBuf {
        self.base.join("run")
    }

    pub(super) fn run(&self, number: i64) -> PathBuf {
        self.run_folder().join(format!("{number}.json"))
    }

    pub(super) fn log(&self, number: i64) -> PathBuf {
        self.base.join("log").join(format!("{number}.log"))
    }

    /// Makes the folders. What runs and what it says is nobody else's business.
    pub(super) fn create(&self) -> StepResult<()> {
        for folder in [
            self.releases(),
            self.shared(),
            self.run_folder(),
            self.base.join("log"),
        ] {
            fs::create_dir_all(&folder).map_err(|e| Fault::io("create", folder.display(), e))?;
        }
        for folder in [self.run_folder(), self.base.join("log")] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(|e| Fault::io("close to others", folder.display(), e))?;
        }
        Ok(())
    }

    /// The project's lock, across processes; released when dropped.
    pub(super) fn lock(&self) -> StepResult<Flock<File>> {
        let path = self.base.join("lock");
        let fault = |error| Fault::io("lock", path.display(), error);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fault)?;
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((back, Errno::EWOULDBLOCK)) if start.elapsed() < LOCK_WAIT => file = back,
                Err((_, error)) => return Err(fault(error.into()).into()),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The numbers of all whole releases, in order.
    pub(super) fn numbers(&self) -> StepResult<Vec<i64>> {
        let mut numbers: Vec<i64> = self
            .entries()?
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What is left in the releases' folder of work that was cut off: `.7.3.tmp` of
    /// the placing of 7, `.7.gone` of its removal. Of all releases where `number` is
    /// absent.
    pub(super) fn leftovers(&self, number: Option<i64>) -> StepResult<Vec<PathBuf>> {
        let prefix = number.map_or_else(|| ".".to_owned(), |number| format!(".{number}."));
        let left = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            name.starts_with(&prefix) && (name.ends_with(".tmp") || name.ends_with(".gone"))
        };
        Ok(self.entries()?.into_iter().filter(left).collect())
    }

    fn entries(&self) -> StepResult<Vec<PathBuf>> {
        let folder = self.releases();
        let list = || {
            fs::read_dir(&folder)?
                .map(|entry| entry.map(|e| e.path()))
                .collect()
        };
        match list() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => Ok(other.map_err(|e| Fault::io("list", folder.display(), e))?),
        }
    }

    /// Removes a release. It loses its name first, so that one which is half deleted
    /// is never mistaken for a whole one.
    pub(super) fn remove_release(&self, number: i64) -> StepResult<()> {
        let release = self.release(number);
        let gone = self.releases().join(format!(".{number}.gone"));
        remove_all(&gone)?;
        match fs::rename(&release, &gone) {
            Ok(()) => remove_all(&gone)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Fault::io("remove", release.display(), error).into()),
        }
        let log = self.log(number);
        for file in [log.with_extension("log.1"), log, self.run(number)] {
            remove_all(&file)?;
        }
        Ok(())
    }
}

/// Puts a file in place, whole or not at all, also when the power fails.
pub(super) fn write_file(path: &Path, content: &[u8]) -> StepResult<()> {
    let temp = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temp)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        sync_parent(path)
    };
    Ok(write().map_err(|e| Fault::io("write", path.display(), e))?)
}

/// Makes the last change of a name durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file, a link or a folder; nothing there is fine.
pub(super) fn remove_all(path: &Path) -> StepResult<()> {
    let remove = || -> io::Result<()> {
        if !fs::symlink_metadata(path)?.is_dir() {
            return fs::remove_file(path);
        }
        match fs::remove_dir_all(path) {
            // Some tools (Go's module cache) make folders that may not be written to.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                open_up(path)?;
                fs::remove_dir_all(path)
            }
            other => other,
        }
    };
    match remove() {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Fault::io("remove", path.display(), error).into())
        }
        _ => Ok(()),
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
