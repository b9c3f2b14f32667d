//! A repository that is a folder of this machine: its objects are taken over as they are, in
//! place of being packed by one side and unpacked by the other.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use git2::{Oid, Repository};
use nix::fcntl::OFlag;

use crate::transport::Watch;

/// After so many bytes of a pack it is asked again whether to go on.
const PIECE: u64 = 16 << 20;

/// Copies the objects of the repository at `from` into the bare repository at `to`, so that a
/// fetch finds all it wants there already. What cannot be copied so, or changes meanwhile, is
/// left to the fetch: none says that nothing was copied, a number how many bytes were.
///
/// # Errors
///
/// What ends a fetch: no time left, a wish to stop; that the mirror cannot be written.
pub(crate) fn copy_objects(from: &Path, to: &Path, watch: &Watch) -> io::Result<Option<u64>> {
    let Some((source, before)) = whole(from) else {
        return Ok(None);
    };
    let objects = to.join("objects");
    let mut copy = Copy { watch, bytes: 0 };
    let copied = copy.all(&source.path().join("objects"), &objects);
    // Of a commit that was made meanwhile only a part may have been copied.
    let is_same = copied.is_ok() && whole(from).is_some_and(|(_, now)| now == before);
    if is_same {
        return Ok(Some(copy.bytes));
    }
    watch.check(0)?;
    fs::remove_dir_all(&objects)?;
    for folder in ["pack", "info"] {
        private_dir(&objects.join(folder))?;
    }
    Ok(None)
}

/// What each branch and tag stands for.
type Names = BTreeMap<Vec<u8>, Option<Oid>>;

/// The repository and what its names stand for, where it has all its objects itself.
fn whole(path: &Path) -> Option<(Repository, Names)> {
    let repository = Repository::open(path).ok()?;
    let common = repository.commondir() == repository.path();
    let borrows = repository.path().join("objects/info/alternates").exists();
    let config = repository.config().ok()?;
    let is_partial = config.get_entry("extensions.partialclone").is_ok();
    if !common || borrows || is_partial || repository.is_shallow() {
        return None;
    }
    let mut names = Names::new();
    for name in repository.references().ok()?.flatten() {
        names.insert(name.name_bytes().to_owned(), name.target());
    }
    Some((repository, names))
}

struct Copy<'a> {
    watch: &'a Watch,
    bytes: u64,
}

impl Copy<'_> {
    /// Loose objects first: who packs them removes them last.
    fn all(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let is_loose = |name: &str| name.len() == 2 && is_hex(name);
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_loose) && entry.file_type()?.is_dir() {
                let folder = to.join(entry.file_name());
                private_dir(&folder)?;
                self.files(&entry.path(), &folder, is_hex, Self::link)?;
            }
        }
        let is_pack = |name: &str| {
            let name = name.strip_prefix("pack-").and_then(|n| n.split_once('.'));
            name.is_some_and(|(id, kind)| is_hex(id) && ["pack", "idx"].contains(&kind))
        };
        self.files(&from.join("pack"), &to.join("pack"), is_pack, Self::copy)
    }

    fn files(
        &mut self,
        from: &Path,
        to: &Path,
        wanted: impl Fn(&str) -> bool,
        take: impl Fn(&mut Self, &Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(&wanted) {
                take(self, &from.join(&name), &to.join(&name))?;
            }
        }
        Ok(())
    }

    /// Gives a loose object a second name, as `git clone` does: it is never written to again,
    /// and read whole. A pack is mapped, so that one which its owner cuts short would end us.
    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if fs::hard_link(from, to).is_err() {
            return self.copy(from, to); // on another disk, or another user's
        }
        self.count(&fs::symlink_metadata(to)?)
    }

    fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut source = OpenOptions::new()
            .read(true)
            // A link could lead to what is nobody's business, and a pipe nowhere.
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(from)?;
        self.count(&source.metadata()?)?;
        in_pieces(&mut source, &mut File::create_new(to)?, self.watch)
    }

    fn count(&mut self, meta: &fs::Metadata) -> io::Result<()> {
        if !meta.is_file() {
            return Err(io::Error::other("not a file"));
        }
        self.bytes = self.bytes.saturating_add(meta.len());
        self.watch.check(0)?;
        if self.bytes > self.watch.max_bytes() {
            // Perhaps only with what no branch holds, which a fetch leaves out.
            return Err(io::Error::other("too much"));
        }
        Ok(())
    }
}

fn in_pieces(from: &mut impl Read, to: &mut File, watch: &Watch) -> io::Result<()> {
    while io::copy(&mut from.by_ref().take(PIECE), to)? == PIECE {
        watch.check(0)?;
    }
    Ok(())
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::options::GitLimits;

    /// Gives zeros without end, and wants to stop after the first.
    struct Endless(CancellationToken);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.cancel();
            buffer.fill(0);
            Ok(buffer.len())
        }
    }

    #[tokio::test]
    async fn a_large_pack_is_not_copied_to_its_end_before_it_stops() {
        let cancel = CancellationToken::new();
        let watch = Watch::new("/repository", &GitLimits::default(), cancel.clone());
        let mut to = tempfile::tempfile().unwrap();
        in_pieces(&mut Endless(cancel), &mut to, &watch).unwrap_err();
        assert!(to.metadata().unwrap().len() <= PIECE);
    }
}
