//! A release as one archive: `release/` with its files and the links to what is shared,
//! and `shared/<n>` with what the shared paths begin with where there is none yet.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::value::RelPath;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

/// A file that tells what the release is.
pub(super) const MARKER: &str = ".deployr-release";

/// What goes into it.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    pub(super) from: PathBuf,
    pub(super) shared: Vec<RelPath>,
    /// Made where they are missing.
    pub(super) writable: Vec<RelPath>,
    /// Files of ours, with their modes; they replace the build's own. The last of them
    /// shows that all before it has been unpacked.
    pub(super) ours: Vec<(PathBuf, Vec<u8>, u32)>,
}

/// What was packed.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) file: NamedTempFile,
    /// Of the archive.
    pub(super) bytes: u64,
    /// Of what is in it.
    pub(super) unpacked: u64,
    /// Files, folders and links.
    pub(super) entries: u64,
}

struct Archive {
    tar: Builder<GzEncoder<File>>,
    unpacked: u64,
    entries: u64,
}

impl Pack {
    pub(super) fn write(&self) -> StepResult<Packed> {
        let place = self.from.display().to_string();
        let failed = |error| StepError::from(Fault::io("pack", &place, error));
        // Only for the engine's own eyes: the project's variables may be in it.
        let file = NamedTempFile::with_prefix("deployr-cpanel-").map_err(failed)?;
        let out = file.reopen().map_err(failed)?;
        let mut archive = Archive {
            tar: Builder::new(GzEncoder::new(out, Compression::fast())),
            unpacked: 0,
            entries: 0,
        };
        let top = fs::metadata(&self.from).map_err(failed)?;
        archive
            .entry(&self.from, Path::new("release"), &top)
            .map_err(failed)?;
        self.folder(&mut archive, Path::new(""))?;
        for (number, path) in self.shared.iter().enumerate() {
            self.share(&mut archive, number, path)?;
        }
        for path in self.writable.iter().filter(|path| path.as_str() != ".") {
            if fs::symlink_metadata(path.under(&self.from)).is_err()
                && !self.is_shared(path.as_path())
            {
                archive
                    .entry(&self.from, &Path::new("release").join(path.as_path()), &top)
                    .map_err(failed)?;
            }
        }
        for (path, content, mode) in &self.ours {
            let to = Path::new("release").join(path);
            archive.text(&to, content, *mode).map_err(failed)?;
        }
        let Archive {
            tar,
            unpacked,
            entries,
        } = archive;
        let end = || tar.into_inner()?.finish()?.flush();
        end().map_err(failed)?;
        let bytes = file.as_file().metadata().map_err(failed)?.len();
        Ok(Packed {
            file,
            bytes,
            unpacked,
            entries,
        })
    }

    fn folder(&self, archive: &mut Archive, below: &Path) -> StepResult<()> {
        let failed = |error| Fault::io("pack", self.from.join(below).display(), error);
        let entries = fs::read_dir(self.from.join(below)).map_err(failed)?;
        let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            let is_ours = self.ours.iter().any(|(ours, ..)| *ours == path);
            if is_ours || self.shared.iter().any(|shared| path == shared.as_path()) {
                continue;
            }
            let meta = entry.metadata().map_err(failed)?;
            self.refuse_what_replaces_a_folder(&path, &meta)?;
            if meta.is_symlink() {
                self.refuse_leading_out(&path)?;
            }
            let to = Path::new("release").join(&path);
            archive
                .entry(&self.from.join(&path), &to, &meta)
                .map_err(failed)?;
            if meta.is_dir() {
                self.folder(archive, &path)?;
            }
        }
        Ok(())
    }

    /// A link among the folders that a path of ours lies in could lead anywhere.
    fn refuse_what_replaces_a_folder(&self, path: &Path, meta: &Metadata) -> StepResult<()> {
        let shared = self.shared.iter().map(RelPath::as_path);
        let mut ours = shared.chain(self.ours.iter().map(|(path, ..)| path.as_path()));
        if meta.is_dir() || !ours.any(|of| of != path && of.starts_with(path)) {
            return Ok(());
        }
        let reason = "it must be a folder for a shared path, or a file of deployr's, to lie in, \
                      and is not; take it out of the release or out of `shared`";
        Err(Fault::permanent("pack", path.display(), reason).into())
    }

    fn refuse_leading_out(&self, path: &Path) -> StepResult<()> {
        let from = self.from.join(path);
        let target =
            fs::read_link(&from).map_err(|error| Fault::io("read", from.display(), error))?;
        let mut depth = path.components().count() as i64 - 1;
        let inside = target.components().all(|part| {
            match part {
                Component::Normal(_) => depth += 1,
                Component::ParentDir => depth -= 1,
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => depth = -1,
            }
            depth >= 0
        });
        if inside {
            return Ok(());
        }
        let message = format!(
            "the release's link {} leads to {}, out of the release: on a shared host that is not \
             unpacked; make it relative, or take it out of the build's output",
            path.display(),
            target.display()
        );
        Err(StepError::verdict(VerdictCode::OutputEscapes, message))
    }

    fn is_shared(&self, path: &Path) -> bool {
        self.shared
            .iter()
            .any(|shared| path.starts_with(shared.as_path()))
    }

    /// A link in the release, and what the one copy begins with.
    fn share(&self, archive: &mut Archive, number: usize, path: &RelPath) -> StepResult<()> {
        let own = path.under(&self.from);
        let failed = |error| Fault::io("pack", own.display(), error);
        let first = PathBuf::from(format!("shared/{number}"));
        match fs::symlink_metadata(&own) {
            Ok(meta) if meta.is_dir() => {
                archive.entry(&own, &first, &meta).map_err(failed)?;
                let copy = Self {
                    from: own.clone(),
                    shared: Vec::new(),
                    writable: Vec::new(),
                    ours: Vec::new(),
                };
                copy.folder_to(archive, Path::new(""), &first)?;
            }
            Ok(meta) if meta.is_file() => archive.entry(&own, &first, &meta).map_err(failed)?,
            // Nothing tells a file that is not there yet from a folder but its name.
            _ if last(path).contains('.') => archive.text(&first, b"", 0o600).map_err(failed)?,
            _ => {
                let top = fs::metadata(&self.from).map_err(failed)?;
                archive.entry(&self.from, &first, &top).map_err(failed)?;
            }
        }
        // Out of the folders on the way to it, out of the release, out of `releases`.
        let mut to = PathBuf::new();
        for _ in 0..path.as_path().components().count() + 1 {
            to.push("..");
        }
        let to = to.join("shared").join(path.as_path());
        archive
            .link(&Path::new("release").join(path.as_path()), &to)
            .map_err(|error| failed(error).into())
    }

    fn folder_to(&self, archive: &mut Archive, below: &Path, to: &Path) -> StepResult<()> {
        let failed = |error| Fault::io("pack", self.from.join(below).display(), error);
        for entry in fs::read_dir(self.from.join(below)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = below.join(entry.file_name());
            let meta = entry.metadata().map_err(failed)?;
            if meta.is_symlink() {
                self.refuse_leading_out(&path)?;
            }
            archive
                .entry(&entry.path(), &to.join(&path), &meta)
                .map_err(failed)?;
            if meta.is_dir() {
                self.folder_to(archive, &path, to)?;
            }
        }
        Ok(())
    }
}

fn last(path: &RelPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

impl Archive {
    fn entry(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
        let mode = meta.permissions().mode();
        let mut header = Header::new_gnu();
        header.set_metadata(meta);
        header.set_uid(0);
        header.set_gid(0);
        // PHP there runs nothing that others may write to; nor has anything a special bit.
        let runs = meta.is_dir() || mode & 0o100 != 0;
        header.set_mode(if runs { 0o755 } else { 0o644 });
        if meta.is_symlink() {
            return self.link(to, &fs::read_link(from)?);
        }
        self.entries += 1;
        if meta.is_dir() {
            header.set_size(0);
            return self.tar.append_data(&mut header, to, io::empty());
        }
        if !meta.is_file() {
            return Ok(()); // sockets and pipes, of no use elsewhere
        }
        self.unpacked += meta.len();
        self.tar.append_data(&mut header, to, File::open(from)?)
    }

    fn link(&mut self, at: &Path, to: &Path) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        self.entries += 1;
        self.tar.append_link(&mut header, at, to)
    }

    fn text(&mut self, to: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        self.entries += 1;
        self.unpacked += content.len() as u64;
        self.tar.append_data(&mut header, to, content)
    }
}

/// Variables as `.env` files have them, each on a line of its own, byte for byte.
pub(super) fn env_file(env: &deployr_core::value::EnvSet) -> String {
    let mut text = String::new();
    for (name, value) in env {
        text.push_str(name.as_str());
        text.push_str("=\"");
        for letter in value.expose().chars() {
            match letter {
                '"' | '\\' | '$' => text.extend(['\\', letter]),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                _ => text.push(letter),
            }
        }
        text.push_str("\"\n");
    }
    text
}
