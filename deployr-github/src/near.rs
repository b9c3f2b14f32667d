//! A repository that is a folder of this machine: its objects are copied as they are, in
//! place of being packed by one side and unpacked by the other.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use git2::{Oid, Repository};
use nix::fcntl::OFlag;

use crate::transport::Watch;

/// Copies the objects of the repository at `from` into the bare repository at `to`, so that a
/// fetch finds all it wants there already. What cannot be copied so, or changes meanwhile, is
/// left to the fetch: false says that nothing was copied.
///
/// # Errors
///
/// What ends a fetch: no time left, a wish to stop; that the mirror cannot be written.
pub(crate) fn copy_objects(from: &Path, to: &Path, watch: &Watch) -> io::Result<bool> {
    let Some((source, before)) = whole(from) else {
        return Ok(false);
    };
    let objects = to.join("objects");
    let mut copy = Copy { watch, bytes: 0 };
    let copied = copy.all(&source.path().join("objects"), &objects);
    // Of a commit that was made meanwhile only a part may have been copied.
    let is_same = copied.is_ok() && whole(from).is_some_and(|(_, now)| now == before);
    if is_same {
        return Ok(true);
    }
    watch.check(0)?;
    fs::remove_dir_all(&objects)?;
    for folder in ["pack", "info"] {
        private_dir(&objects.join(folder))?;
    }
    Ok(false)
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
                self.files(&entry.path(), &folder, is_hex)?;
            }
        }
        let is_pack = |name: &str| {
            let name = name.strip_prefix("pack-").and_then(|n| n.split_once('.'));
            name.is_some_and(|(id, kind)| is_hex(id) && ["pack", "idx"].contains(&kind))
        };
        self.files(&from.join("pack"), &to.join("pack"), is_pack)
    }

    fn files(&mut self, from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            if !name.to_str().is_some_and(&wanted) {
                continue;
            }
            let mut source = OpenOptions::new()
                .read(true)
                // A link could lead to what is nobody's business, and a pipe nowhere.
                .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
                .open(from.join(&name))?;
            let meta = source.metadata()?;
            if !meta.is_file() {
                return Err(io::Error::other("not a file"));
            }
            self.bytes = self.bytes.saturating_add(meta.len());
            self.watch.check(0)?;
            if self.bytes > self.watch.max_bytes() {
                // Perhaps only with what no branch holds, which a fetch leaves out.
                return Err(io::Error::other("too much"));
            }
            let mut target = File::create_new(to.join(name))?;
            io::copy(&mut source, &mut target)?;
        }
        Ok(())
    }
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
