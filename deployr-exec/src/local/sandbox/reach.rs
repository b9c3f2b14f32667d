//! From what is configured to the paths that are granted.
//!
//! Landlock grants a folder with everything below it and cannot take anything out again.
//! So a folder that holds something private is not granted itself, but what lies beside
//! the private part.

use std::path::{Path, PathBuf};
use std::{env, fs};

use deployr_core::error::Fault;

use super::rules::Rules;
use super::{Own, Sandbox};

impl Sandbox {
    /// What may be read unless told otherwise: programs and their libraries, what the kernel
    /// tells, and of `/etc` what programs cannot do without. All of `/etc` would be the
    /// passwords and keys of the host, where the engine is root.
    pub const READABLE: &[&str] = &[
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/opt",
        "/nix/store",
        "/proc",
        "/sys/devices/system",
        "/sys/fs/cgroup",
        // Names of hosts and users.
        "/etc/gai.conf",
        "/etc/group",
        "/etc/host.conf",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/protocols",
        "/etc/resolv.conf",
        "/etc/services",
        // TLS, without the host's own keys.
        "/etc/ca-certificates*",
        "/etc/crypto-policies",
        "/etc/gnutls",
        "/etc/pki/ca-trust",
        "/etc/pki/tls/cert.pem",
        "/etc/pki/tls/certs",
        "/etc/pki/tls/openssl.cnf",
        "/etc/ssl/cert.pem",
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",
        // Which system it is, and how it looks.
        "/etc/alternatives",
        "/etc/debian_version",
        "/etc/fonts",
        "/etc/inputrc",
        "/etc/ld.so.*",
        "/etc/locale*",
        "/etc/localtime",
        "/etc/lsb-release",
        "/etc/magic*",
        "/etc/mime.types",
        "/etc/os-release",
        "/etc/redhat-release",
        "/etc/terminfo",
        "/etc/timezone",
        // Tools.
        "/etc/bash.bashrc",
        "/etc/gemrc",
        "/etc/gitattributes",
        "/etc/gitconfig",
        "/etc/ImageMagick-*",
        "/etc/java*",
        "/etc/maven",
        "/etc/npmrc",
        "/etc/perl",
        "/etc/php*",
        "/etc/python*",
    ];
}

/// The paths that some processes may reach.
#[derive(Debug)]
pub(super) struct Reach {
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
}

impl Reach {
    pub(super) fn new(sandbox: &Sandbox, own: Own) -> Self {
        let private: Vec<PathBuf> = sandbox
            .private
            .iter()
            .chain(&own.private)
            .map(|path| real(path))
            .collect();
        let system = sandbox
            .readable
            .iter()
            .flat_map(|pattern| matching(pattern));
        let tools = sandbox
            .tool_dirs
            .iter()
            .cloned()
            .chain(path_dirs().flat_map(with_modules));
        let mut asked: Vec<PathBuf> = system
            .chain(tools)
            // Links are granted as what they lead to, wherever that is.
            .filter_map(|path| fs::canonicalize(path).ok())
            .collect();
        asked.sort();
        asked.dedup_by(|path, above| path.starts_with(above));
        let mut readable = Vec::new();
        for path in asked {
            grant(path, &private, &mut readable);
        }
        readable.extend(own.readable);
        Self {
            readable,
            writable: own.writable,
        }
    }

    /// The engine's `PATH`, as far as these processes can use it.
    pub(super) fn search_path(&self) -> String {
        let reachable = |dir: &PathBuf| {
            let real = fs::canonicalize(dir).unwrap_or_default();
            self.readable
                .iter()
                .any(|granted| real.starts_with(granted))
        };
        join(path_dirs().filter(reachable))
    }

    pub(super) fn rules(&self) -> Result<Rules, Fault> {
        Rules::new(&self.readable, &self.writable)
    }
}

/// Grants a path less what is private below it.
fn grant(path: PathBuf, private: &[PathBuf], granted: &mut Vec<PathBuf>) {
    if private.iter().any(|private| path.starts_with(private)) {
        return;
    }
    if !private.iter().any(|private| private.starts_with(&path)) {
        granted.push(path);
        return;
    }
    for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
        // A link would be granted as what it leads to, which nobody has asked for.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            grant(entry.path(), private, granted);
        }
    }
}

/// The paths that a pattern stands for.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().as_encoded_bytes();
    let (Some(start), Some(folder)) = (name.strip_suffix(b"*"), pattern.parent()) else {
        return vec![pattern.to_owned()];
    };
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(start))
        .map(|entry| entry.path())
        .collect()
}

/// Where a path is, or will be once it is made.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    fs::canonicalize(&path).unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path,
    })
}

/// The engine's whole `PATH`, for processes that are not confined.
pub(super) fn whole_path() -> String {
    join(path_dirs())
}

fn join(dirs: impl Iterator<Item = PathBuf>) -> String {
    let dirs: Vec<String> = dirs
        .filter_map(|dir| dir.into_os_string().into_string().ok())
        .collect();
    dirs.join(":")
}

/// The folders of the engine's `PATH`. Relative ones would mean those of the checkout or
/// of the release.
fn path_dirs() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let dirs: Vec<PathBuf> = env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .collect();
    dirs.into_iter()
}

/// A folder of programs, and the modules beside it: where node is installed for one
/// user, `npm` is a link into them.
fn with_modules(dir: PathBuf) -> [PathBuf; 2] {
    let modules = dir.join("../lib/node_modules");
    [dir, modules]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(root: &Path, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| root.join(name)).collect()
    }

    #[test]
    fn what_lies_beside_a_private_folder_is_granted_one_level_down_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for dir in ["tool", "app/data/secret", "app/bin"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("app/file"), "").unwrap();
        std::os::unix::fs::symlink("data", root.join("app/link")).unwrap();
        let grant = |private: &[&str]| {
            let mut granted = Vec::new();
            super::grant(root.clone(), &below(&root, private), &mut granted);
            granted.sort();
            granted
        };
        assert_eq!(grant(&[]), std::slice::from_ref(&root));
        assert_eq!(
            grant(&["app/data"]),
            below(&root, &["app/bin", "app/file", "tool"])
        );
        // Also one that is not there yet, and one that is a file.
        assert_eq!(
            grant(&["app/data", "tool/new"]),
            below(&root, &["app/bin", "app/file"])
        );
        assert_eq!(
            grant(&["app/file"]),
            below(&root, &["app/bin", "app/data", "tool"])
        );
        assert!(grant(&[""]).is_empty());
    }

    #[test]
    fn a_private_path_is_known_through_links_and_before_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        assert_eq!(real(&root.join("link/to/come")), root.join("real/to/come"));
    }

    #[test]
    fn a_star_stands_for_any_ending() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["php", "php8", "ruby"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut found = matching(&folder.path().join("php*"));
        found.sort();
        assert_eq!(found, below(folder.path(), &["php", "php8"]));
        assert_eq!(matching(Path::new("/not/there")), [Path::new("/not/there")]);
        assert!(matching(Path::new("/not/there*")).is_empty());
    }

    #[test]
    fn of_etc_nothing_that_only_root_may_read_is_granted() {
        use std::os::unix::fs::PermissionsExt;
        fn closed(path: &Path, found: &mut Vec<PathBuf>) {
            let Ok(meta) = fs::symlink_metadata(path) else {
                return;
            };
            if !meta.is_symlink() && meta.permissions().mode() & 0o004 == 0 {
                found.push(path.to_owned());
            }
            if meta.is_dir() {
                for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                    closed(&entry.path(), found);
                }
            }
        }
        let reach = Reach::new(&Sandbox::new(), Own::default());
        let mut found = Vec::new();
        for path in reach
            .readable
            .iter()
            .filter(|path| path.starts_with("/etc"))
        {
            closed(path, &mut found);
        }
        assert!(found.is_empty(), "{found:?}");
        assert!(reach.readable.contains(&"/etc/passwd".into()));
    }
}
