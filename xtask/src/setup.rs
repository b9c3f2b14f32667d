//! What the tests need beside Rust: installed here where that can be done (Debian, as
//! root), named exactly where it cannot. Nothing is skipped.

use std::path::Path;

use crate::run;

/// A program or a file, and the Debian package that has it. A `*` is for a version.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/sbin/php-fpm*", "php-fpm"),
    ("/usr/share/php*-mbstring", "php-mbstring"),
    ("/usr/share/php*-sqlite3", "php-sqlite3"),
    ("/usr/share/php*-xml", "php-xml"),
    ("/usr/share/php/Illuminate", "php-laravel-framework"),
    ("busybox", "busybox-static"),
    ("caddy", "caddy"),
    ("composer", "composer"),
    ("docker", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("docker-registry", "docker-registry"),
    ("dockerd", "docker.io"),
    ("git", "git"),
    ("initdb", "postgresql"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("nginx", "nginx"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("php", "php-cli"),
    ("rsync", "rsync"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("unshare", "util-linux"),
];

/// The peers of benches, each for the bench of this name.
const PEERS: &[(&str, (&str, &str))] = &[("ssh", ("cap", "capistrano"))];

pub(crate) fn run() -> Result<(), String> {
    install("the tests need", NEEDED)
}

/// The same for the peers of the benches among these arguments; of all, where none is named.
pub(crate) fn of_benches(args: &[&str]) -> Result<(), String> {
    let mut names = args.to_vec();
    while let Some(option) = names.iter().position(|name| name.starts_with('-')) {
        names.drain(option..names.len().min(option + 2));
    }
    let is_wanted = |bench| names.is_empty() || names.contains(bench);
    let wanted = PEERS.iter().filter(|(bench, _)| is_wanted(bench));
    let wanted: Vec<_> = wanted.map(|(_, needed)| *needed).collect();
    install("these benches need", &wanted)
}

fn install(who: &str, needed: &[(&str, &str)]) -> Result<(), String> {
    let missing: Vec<_> = needed
        .iter()
        .filter(|(program, _)| !is_there(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let is_root = run::output("id", &["-u"]).is_ok_and(|id| id.trim() == "0");
    if !is_root || !run::exists("apt-get") {
        let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        return Err(format!(
            "{who} these programs: {}. On Debian: apt-get install {}",
            programs.join(", "),
            packages.join(" ")
        ));
    }
    run::program("apt-get", &["update", "-q"])?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(packages);
    run::program("apt-get", &install)
}

/// Debian keeps Postgres' programs away from the path, in a folder a version.
fn is_there(program: &str) -> bool {
    if program.starts_with('/') {
        return is_file(Path::new(program));
    }
    let versions = Path::new("/usr/lib/postgresql").read_dir();
    let mut folders = versions.into_iter().flatten().flatten();
    run::exists(program) || folders.any(|folder| folder.path().join("bin").join(program).is_file())
}

fn is_file(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let Some((begins, ends)) = name.to_str().and_then(|name| name.split_once('*')) else {
        return path.exists();
    };
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|name| name.starts_with(begins) && name.ends_with(ends))
}
