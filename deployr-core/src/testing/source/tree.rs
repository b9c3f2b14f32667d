//! The files of a commit, as a value.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::{fmt, fs, io};

use sha2::{Digest, Sha256};

/// What lies at a path of a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file that cannot be run.
    File(Vec<u8>),
    /// A file that can be run.
    Program(Vec<u8>),
    /// A symbolic link, and what it says.
    Link(String),
}

impl fmt::Debug for Entry {
    /// As text, in which bytes that are none are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(content) => write!(f, "File({})", content.escape_ascii()),
            Self::Program(content) => write!(f, "Program({})", content.escape_ascii()),
            Self::Link(target) => write!(f, "Link({target})"),
        }
    }
}

/// All that is in a commit, by its path (`bin/run`).
pub type Tree = BTreeMap<String, Entry>;

/// Writes a tree into a folder that is there.
///
/// # Errors
///
/// The first file that could not be written.
pub fn write_tree(tree: &Tree, folder: &Path) -> io::Result<()> {
    for (path, entry) in tree {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match entry {
            Entry::File(content) => fs::write(&path, content)?,
            Entry::Program(content) => {
                fs::write(&path, content)?;
                system::make_program(&path)?;
            }
            Entry::Link(target) => system::link(target, &path)?,
        }
    }
    Ok(())
}

/// All that lies in a folder. One without anything in it, which no commit has, is told
/// as a file whose name ends in a slash.
pub(in crate::testing) fn read_tree(top: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut ahead = vec![top.to_owned()];
    while let Some(folder) = ahead.pop() {
        let relative = |path: &Path| {
            let below = path.strip_prefix(top).unwrap_or(path);
            below.display().to_string()
        };
        let mut entries = fs::read_dir(&folder)?.peekable();
        if entries.peek().is_none() && folder != top {
            tree.insert(relative(&folder) + "/", Entry::File(Vec::new()));
        }
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                ahead.push(path);
            } else if kind.is_symlink() {
                let target = fs::read_link(&path)?.display().to_string();
                tree.insert(relative(&path), Entry::Link(target));
            } else {
                let content = fs::read(&path)?;
                let entry = match system::is_program(&entry.metadata()?) {
                    true => Entry::Program(content),
                    false => Entry::File(content),
                };
                tree.insert(relative(&path), entry);
            }
        }
    }
    Ok(tree)
}

/// A digest of all that is in it, in hex digits; another one for another `parent`.
pub(in crate::testing) fn digest(tree: &Tree, parent: &str) -> String {
    let mut hash = Sha256::new();
    // With its length, so that where one ends and the next begins counts too.
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(parent.as_bytes());
    for (path, entry) in tree {
        let (kind, content) = match entry {
            Entry::File(content) => ("file", content.as_slice()),
            Entry::Program(content) => ("program", content.as_slice()),
            Entry::Link(target) => ("link", target.as_bytes()),
        };
        add(path.as_bytes());
        add(kind.as_bytes());
        add(content);
    }
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a link at `path` of a checkout leads out of it, by what it says.
pub(in crate::testing) fn leads_out(path: &str, target: &str) -> bool {
    let mut depth = Path::new(path).components().count() as i64 - 1;
    Path::new(target).components().any(|part| {
        depth += match part {
            Component::Normal(_) => 1,
            Component::ParentDir => -1,
            Component::CurDir => 0,
            Component::RootDir | Component::Prefix(_) => return true,
        };
        depth < 0
    })
}

#[cfg(unix)]
mod system {
    use std::fs::{Metadata, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::{io, path::Path};

    pub(super) use std::os::unix::fs::symlink as link;

    pub(super) fn make_program(path: &Path) -> io::Result<()> {
        set_permissions(path, Permissions::from_mode(0o755))
    }

    pub(super) fn is_program(file: &Metadata) -> bool {
        file.permissions().mode() & 0o111 == 0o111
    }
}

/// Other systems have neither links nor programs by mode.
#[cfg(not(unix))]
mod system {
    use std::{fs::Metadata, io, path::Path};

    pub(super) fn link(_: &str, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn make_program(_: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_program(_: &Metadata) -> bool {
        false
    }
}

#[test]
fn links_are_judged_by_what_they_say() {
    assert!(!leads_out("a", "b") && !leads_out("a/b", "../c") && !leads_out("a/b", ".."));
    assert!(leads_out("a", "..") && leads_out("a/b", "../../c") && leads_out("a", "/x"));
}
