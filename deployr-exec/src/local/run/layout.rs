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

use crate::local::files;

/// The lock is only ever held for some milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A project's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) base: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path, slug: &Slug) -> Self {
        Self {
            base: root.join(slug.as_str()),
        }
    }

    /// The folder of all projects.
    pub(crate) fn root(&self) -> &Path {
        self.base.parent().unwrap_or(&self.base)
    }

    pub(crate) fn releases(&self) -> PathBuf {
        self.base.join("releases")
    }

    pub(crate) fn release(&self, number: i64) -> PathBuf {
        self.releases().join(number.to_string())
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.base.join("shared")
    }

    pub(crate) fn current(&self) -> PathBuf {
        self.base.join("current")
    }

    pub(crate) fn turn(&self) -> PathBuf {
        self.base.join("turn")
    }

    pub(crate) fn run_folder(&self) -> PathBuf {
        self.base.join("run")
    }

    pub(crate) fn run(&self, number: i64) -> PathBuf {
        self.run_folder().join(format!("{number}.json"))
    }

    pub(crate) fn log(&self, number: i64) -> PathBuf {
        self.base.join("log").join(format!("{number}.log"))
    }

    /// Where the processes of a release put what is of no use to the next one.
    pub(crate) fn scratch(&self, number: i64) -> PathBuf {
        self.base.join("tmp").join(number.to_string())
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.base.join("lock")
    }

    /// Where releases go that are being removed.
    fn trash(&self) -> PathBuf {
        self.base.join("trash")
    }

    /// Whether a process of the release may be there, or have been: each is given a log and
    /// a folder of its own before it is started.
    pub(crate) fn has_run(&self, number: i64) -> bool {
        let signs = [self.run(number), self.log(number), self.scratch(number)];
        signs.iter().any(|sign| sign.exists())
    }

    /// Makes the folders. What runs and what it says is nobody else's business.
    pub(crate) fn create(&self) -> StepResult<()> {
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
    pub(crate) fn lock(&self) -> StepResult<Flock<File>> {
        let path = self.lock_file();
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
    pub(crate) fn numbers(&self) -> StepResult<Vec<i64>> {
        let mut numbers: Vec<i64> = self
            .entries()?
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What is left in the releases' folder of work that was cut off: `.7.3.tmp` of
    /// the placing of 7, `.7.gone` of its removal. Those of the releases with such a
    /// number.
    pub(crate) fn leftovers(&self, such: impl Fn(i64) -> bool) -> StepResult<Vec<PathBuf>> {
        let left = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let number = name
                .strip_prefix('.')
                .and_then(|rest| rest.split('.').next());
            let number = number.and_then(|number| number.parse().ok());
            (name.ends_with(".tmp") || name.ends_with(".gone")) && number.is_some_and(&such)
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

    /// Removes a release, if it may be. It loses its name first, so that one which is
    /// half deleted is never mistaken for a whole one; and under the lock, so that nobody
    /// switches to it meanwhile.
    pub(crate) fn remove_release(
        &self,
        number: i64,
        may_be: impl FnOnce() -> StepResult<()>,
    ) -> StepResult<()> {
        let release = self.release(number);
        let gone = self.releases().join(format!(".{number}.gone"));
        self.throw_away(&gone)?;
        if release.exists() {
            let lock = self.lock()?;
            may_be()?;
            match fs::rename(&release, &gone) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                moved => moved.map_err(|e| Fault::io("remove", release.display(), e))?,
            }
            drop(lock);
            self.throw_away(&gone)?;
        }
        let log = self.log(number);
        let (older, scratch) = (log.with_extension("log.1"), self.scratch(number));
        let run = self.run(number);
        // Under this name a killed engine may have left it.
        let unfinished = run.with_extension("new");
        for path in [older, log, scratch, unfinished, run] {
            self.throw_away(&path)?;
        }
        Ok(())
    }

    /// Removes what is of no use any more without waiting for it.
    pub(crate) fn throw_away(&self, path: &Path) -> StepResult<()> {
        let thrown = files::throw_away(path, &self.trash());
        Ok(thrown.map_err(|e| Fault::io("remove", path.display(), e))?)
    }
}

/// Puts a file in place, whole or not at all, also when the power fails.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> StepResult<()> {
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
    Ok(write().map_err(|error| {
        // Half of a file helps nobody, least of all on a disk that is full.
        let _ = fs::remove_file(&temp);
        Fault::io("write", path.display(), error)
    })?)
}

/// Makes the last change of a name durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file, a link or a folder; nothing there is fine.
pub(crate) fn remove_all(path: &Path) -> StepResult<()> {
    Ok(files::remove_all(path).map_err(|e| Fault::io("remove", path.display(), e))?)
}
