//! From a built checkout to an artifact.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::value::OutputDir;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// The kernel stamps files with a clock that ticks this slowly, or faster.
const TICK: Duration = Duration::from_millis(20);

/// Finds the output below `folder`, the app's folder in the checkout at `checkout`.
pub(super) fn find(
    checkout: &Path,
    folder: &Path,
    output: &OutputDir,
    candidates: &[OutputDir],
    began: SystemTime,
) -> StepResult<PathBuf> {
    let output = match candidates {
        [] => output,
        candidates => {
            written(folder, candidates, began).ok_or_else(|| none_written(folder, candidates))?
        }
    };
    let missing = |why: &str| {
        let there = list(folder);
        StepError::verdict(
            VerdictCode::OutputMissing,
            format!(
                "the build's output `{output}` {why}; its folder has {there}. Set `output` to \
                    the folder that the build writes"
            ),
        )
    };
    let path = output.under(folder);
    let real = match fs::canonicalize(&path) {
        Ok(real) => real,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(missing("is not there"));
        }
        Err(error) => return Err(Fault::io("reading the output", output, error).into()),
    };
    if !real.starts_with(checkout) {
        return Err(escapes(&format!(
            "the build's output `{output}` leads out of the checkout"
        )));
    }
    if !real.is_dir() {
        return Err(missing("is not a folder"));
    }
    Ok(real)
}

/// The first candidate whose `index.html` has been written since the build began: one
/// that the repository brings along may be a template, or of last year.
fn written<'a>(
    folder: &Path,
    candidates: &'a [OutputDir],
    began: SystemTime,
) -> Option<&'a OutputDir> {
    let began = began
        .checked_sub(TICK)?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    candidates.iter().find(|candidate| {
        let index = fs::metadata(candidate.under(folder).join("index.html"));
        // Not the time of modification, which tools copy along with the file.
        index.is_ok_and(|index| {
            let changed = (index.ctime(), index.ctime_nsec());
            changed
                >= (
                    began.as_secs().cast_signed(),
                    i64::from(began.subsec_nanos()),
                )
        })
    })
}

fn none_written(folder: &Path, candidates: &[OutputDir]) -> StepError {
    let names: Vec<&str> = candidates.iter().map(OutputDir::as_str).collect();
    StepError::verdict(
        VerdictCode::OutputMissing,
        format!(
            "the build wrote no `index.html` into any of {}; its folder has {}. Set `output` to \
             the folder that the build writes, or `start` if the app is a process",
            names.join(", "),
            list(folder),
        ),
    )
}

/// What a folder has, for people who look for something in it.
fn list(folder: &Path) -> String {
    const SHOWN: usize = 12;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().escape_debug().collect())
        .filter(|name: &String| name != ".git")
        .collect();
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => "nothing in it".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn escapes(what: &str) -> StepError {
    let advice = "make it a folder, or a link that stays inside the output";
    StepError::verdict(VerdictCode::OutputEscapes, format!("{what}; {advice}"))
}

/// Reads the whole output once: its links stay inside, its size is within `max_bytes`,
/// and its digest is the same for the same content.
pub(super) fn collect(
    dir: PathBuf,
    max_bytes: u64,
    cancel: &CancellationToken,
) -> StepResult<Artifact> {
    let mut pass = Pass {
        top: &dir,
        max_bytes,
        cancel,
        bytes: 0,
        hash: Sha256::new(),
        buffer: vec![0; 64 * 1024],
    };
    pass.folder(&dir)?;
    let hex = pass
        .hash
        .finalize()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let bytes = pass.bytes;
    Ok(Artifact {
        content: ArtifactContent::Folder(dir),
        digest: format!("sha256:{hex}"),
        bytes,
    })
}

struct Pass<'a> {
    top: &'a Path,
    max_bytes: u64,
    cancel: &'a CancellationToken,
    bytes: u64,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Pass<'_> {
    fn folder(&mut self, dir: &Path) -> StepResult<()> {
        let fault = |path: &Path, error| Fault::io("reading the output", path.display(), error);
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|error| fault(dir, error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.cancel.is_cancelled() {
                return Err(StepError::Stopped);
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| fault(&path, error))?;
            let name = path
                .strip_prefix(self.top)
                .unwrap_or(&path)
                .as_os_str()
                .as_bytes();
            // A release is served to everybody, and a repository has its whole history.
            if entry.file_name() == ".git" {
                remove(&path, kind.is_dir()).map_err(|error| fault(&path, error))?;
            } else if kind.is_dir() {
                self.add(b"d", name);
                self.folder(&path)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).map_err(|error| fault(&path, error))?;
                self.check_link(&path, &target)?;
                self.add(b"l", name);
                self.add(b">", target.as_os_str().as_bytes());
            } else if kind.is_file() {
                self.file(&path, name)
                    .map_err(|error| fault(&path, error))??;
            } else {
                // Sockets and pipes that a tool has left; no copy could be of use.
                remove(&path, false).map_err(|error| fault(&path, error))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &[u8]) -> io::Result<StepResult<()>> {
        let mut file = File::open(path)?;
        let meta = file.metadata()?;
        self.bytes = self.bytes.saturating_add(meta.len());
        if self.bytes > self.max_bytes {
            return Ok(Err(self.too_large()));
        }
        let is_program = meta.permissions().mode() & 0o111 != 0;
        self.add(if is_program { b"x" } else { b"f" }, name);
        self.hash.update(meta.len().to_le_bytes());
        loop {
            match file.read(&mut self.buffer)? {
                0 => return Ok(Ok(())),
                count => self.hash.update(&self.buffer[..count]),
            }
        }
    }

    /// With its length, so that where one ends and the next begins is part of the digest.
    fn add(&mut self, kind: &[u8], text: &[u8]) {
        self.hash.update(kind);
        self.hash.update((text.len() as u64).to_le_bytes());
        self.hash.update(text);
    }

    fn check_link(&self, path: &Path, target: &Path) -> StepResult<()> {
        let stays = !target.is_absolute()
            && match fs::canonicalize(path) {
                Ok(real) => real.starts_with(self.top),
                // It leads nowhere here, but might on the target.
                Err(_) => self.climbs_only_first(path, target),
            };
        if stays {
            return Ok(());
        }
        let name = path.strip_prefix(self.top).unwrap_or(path);
        Err(escapes(&format!(
            "`{}` in the build's output is a link to `{}`, which is outside of it",
            name.display(),
            target.display(),
        )))
    }

    /// Whether a link stays inside, whatever other links there are: all `..` come
    /// first, where the folders above are known, and there are not too many.
    fn climbs_only_first(&self, path: &Path, target: &Path) -> bool {
        let depth = path
            .strip_prefix(self.top)
            .map_or(0, |name| name.components().count());
        let up = |part: &Component<'_>| matches!(part, Component::ParentDir);
        let first = target.components().take_while(up).count();
        let all = target.components().filter(up).count();
        first == all && first < depth
    }

    fn too_large(&self) -> StepError {
        let most = self.max_bytes >> 20;
        StepError::verdict(
            VerdictCode::TooLarge,
            format!(
                "the build's output is larger than {most} MiB; leave out what the release does \
                    not need, set `output` to a smaller folder, or raise the builder's \
                    `output_bytes`"
            ),
        )
    }
}

fn remove(path: &Path, is_dir: bool) -> io::Result<()> {
    if is_dir {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
