//! What the tests need beside Rust: installed here where that can be done (Debian, as
//! root), named exactly where it cannot. Nothing is skipped.

use std::path::Path;

use crate::run;

/// A program, and the Debian package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("caddy", "caddy"),
    ("docker", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("dockerd", "docker.io"),
    ("git", "git"),
    ("initdb", "postgresql"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
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

pub(crate) fn run() -> Result<(), String> {
    let missing: Vec<_> = NEEDED
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
            "the tests need these programs: {}. On Debian: apt-get install {}",
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
    let versions = Path::new("/usr/lib/postgresql").read_dir();
    let mut folders = versions.into_iter().flatten().flatten();
    run::exists(program) || folders.any(|folder| folder.path().join("bin").join(program).is_file())
}
