//! A folder as a stream that the engine unpacks.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use futures::{Stream, stream};
use hyper::body::Bytes;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::ignore::Ignore;

/// How much is on its way to the engine at most.
const CHUNKS: usize = 16;
const CHUNK: usize = 64 << 10;

/// What becomes of the files on their way.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    /// The folder.
    pub(super) from: PathBuf,
    /// Where it is unpacked to, without the `/` at the beginning.
    pub(super) to: PathBuf,
    /// Paths in it that belong to `owner`, with all that is in them; made where they are
    /// missing. All else belongs to root, and may be read by everybody.
    pub(super) owned: BTreeSet<PathBuf>,
    pub(super) owner: u64,
    /// What is left out, wherever it is.
    pub(super) without: Option<&'static str>,
    /// What else is left out.
    pub(super) ignore: Ignore,
}

impl Pack {
    /// The archive, read and sent bit by bit. An error of reading ends it, so that the
    /// engine never takes a part of it for the whole.
    pub(super) fn send(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || {
            let pipe = Pipe(sender.clone(), Vec::with_capacity(CHUNK));
            if let Err(error) = self.write(pipe) {
                // Nobody reads any more where it was stopped.
                let _ = sender.blocking_send(Err(error));
            }
        });
        let next = |mut receiver: mpsc::Receiver<io::Result<Bytes>>| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        };
        stream::unfold(receiver, next)
    }

    fn write(&self, out: impl Write) -> io::Result<()> {
        let mut archive = Builder::new(out);
        let top = fs::metadata(&self.from)?;
        if self.to.components().next().is_some() {
            self.entry(&mut archive, Path::new(""), &top)?;
        }
        self.folder(&mut archive, Path::new(""))?;
        for path in &self.owned {
            if fs::symlink_metadata(self.from.join(path)).is_err() {
                self.entry(&mut archive, path, &top)?;
            }
        }
        archive.into_inner()?.flush()
    }

    fn folder(&self, archive: &mut Builder<impl Write>, below: &Path) -> io::Result<()> {
        let entries = fs::read_dir(self.from.join(below))?;
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.without.is_some_and(|name| entry.file_name() == name) {
                continue;
            }
            let path = below.join(entry.file_name());
            let meta = entry.metadata()?;
            let out = self.ignore.leaves_out(&path);
            if !out {
                self.entry(archive, &path, &meta)?;
            }
            if meta.is_dir() && (!out || self.ignore.may_keep()) {
                self.folder(archive, &path)?;
            }
        }
        Ok(())
    }

    fn entry(
        &self,
        archive: &mut Builder<impl Write>,
        path: &Path,
        meta: &Metadata,
    ) -> io::Result<()> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        let mut header = Header::new_gnu();
        header.set_metadata(meta);
        let owner = match self.owned.iter().any(|owned| path.starts_with(owned)) {
            true => self.owner,
            false => 0,
        };
        header.set_uid(owner);
        header.set_gid(owner);
        let mode = meta.permissions().mode() & 0o777;
        let run = if meta.is_dir() || mode & 0o100 != 0 {
            0o111
        } else {
            0
        };
        header.set_mode(mode | 0o444 | run);
        if meta.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            return archive.append_link(&mut header, to, fs::read_link(from)?);
        }
        if meta.is_dir() {
            header.set_size(0);
            return archive.append_data(&mut header, to, io::empty());
        }
        if !meta.is_file() {
            return Ok(()); // sockets and pipes, of no use elsewhere
        }
        archive.append_data(&mut header, to, File::open(from)?)
    }
}

struct Pipe(mpsc::Sender<io::Result<Bytes>>, Vec<u8>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        if self.1.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.1, Vec::with_capacity(CHUNK));
        if chunk.is_empty() {
            return Ok(());
        }
        let sent = self.0.blocking_send(Ok(chunk.into()));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_keep_their_content_and_belong_to_whom_they_should() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path();
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        fs::create_dir_all(from.join(&long).parent().unwrap()).unwrap();
        fs::create_dir(from.join("store")).unwrap();
        fs::create_dir_all(from.join("store/out/x")).unwrap();
        for (path, mode) in [
            ("run.sh", 0o700),
            ("store/kept", 0o600),
            (long.as_str(), 0o600),
        ] {
            fs::write(from.join(path), path).unwrap();
            fs::set_permissions(from.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("run.sh", from.join("link")).unwrap();
        let pack = Pack {
            from: from.to_owned(),
            to: "app".into(),
            owned: ["store", "cache/x"].map(PathBuf::from).into(),
            owner: 77,
            without: Some("out"),
            ignore: Ignore::default(),
        };
        let mut bytes = Vec::new();
        pack.write(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let seen: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().to_str().unwrap().to_owned();
                let header = entry.header();
                (path, header.mode().unwrap(), header.uid().unwrap())
            })
            .collect();
        let of = |path: &str| {
            seen.iter()
                .find(|entry| entry.0.trim_end_matches('/') == path)
        };
        assert_eq!(of("app/run.sh").unwrap().1, 0o755);
        assert_eq!(of("app/run.sh").unwrap().2, 0);
        assert_eq!(of("app/store/kept").unwrap().1 & 0o444, 0o444);
        for owned in ["app/store", "app/store/kept", "app/cache/x"] {
            assert_eq!(of(owned).unwrap().2, 77, "{owned}");
        }
        assert!(of(&format!("app/{long}")).is_some(), "{seen:?}");
        assert!(of("app/link").is_some());
        assert!(of("app/store/out").is_none() && of("app/store/out/x").is_none());
    }
}
