//! The architecture, as checks: which crate may know what. ARCHITECTURE.md says why.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run;

/// Crates that do I/O of their own, and so have no place below deployr-core.
const NOT_IN_CORE: [&str; 9] = [
    "axum", "bollard", "git2", "hyper", "mio", "reqwest", "rusqlite", "sqlx", "socket2",
];

/// What core's sources may not name. Its one door to the outside is `system.rs`.
const NOT_NAMED_IN_CORE: [&str; 7] = [
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::process",
    "SystemTime",
    "Utc::now",
    "tokio::fs",
];

/// Features that must compile alone, so that nobody builds one backend to use another.
const ALONE: [(&str, &[&str]); 3] = [
    ("deployr-core", &["", "testing"]),
    (
        "deployr-exec",
        &[
            "builtin-ingress",
            "caddy-ingress",
            "compose",
            "cpanel",
            "dns",
            "docker",
            "local-builder",
            "local-executor",
            "ssh",
        ],
    ),
    ("deployr-store", &["", "postgres", "sqlite"]),
];

pub(crate) fn run() -> Result<(), String> {
    run::at_root()?;
    core_is_pure()?;
    core_is_silent()?;
    backends_stand_alone()?;
    features_stand_alone()
}

fn tree(package: &str) -> Result<String, String> {
    run::output(
        "cargo",
        &[
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    )
}

fn core_is_pure() -> Result<(), String> {
    let tree = tree("deployr-core")?;
    let found = NOT_IN_CORE.iter().find(|name| {
        tree.lines()
            .any(|line| line.split(' ').next() == Some(name))
    });
    found.map_or(Ok(()), |name| {
        Err(format!("deployr-core depends on {name}: core does no I/O"))
    })
}

fn core_is_silent() -> Result<(), String> {
    for file in rust_files(Path::new("deployr-core/src"))? {
        // What only tests see may look around.
        let of_tests = file.ends_with("tests.rs") || file.starts_with("deployr-core/src/testing");
        if file.ends_with("system.rs") || of_tests {
            continue;
        }
        let text =
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            if let Some(name) = NOT_NAMED_IN_CORE.iter().find(|name| code.contains(*name)) {
                return Err(format!(
                    "{}:{}: core may not use {name}",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    Ok(())
}

/// No implementation knows another.
fn backends_stand_alone() -> Result<(), String> {
    let backends = ["deployr-exec", "deployr-github", "deployr-store"];
    for backend in backends {
        let tree = tree(backend)?;
        let other = backends.iter().find(|other| {
            **other != backend
                && tree
                    .lines()
                    .any(|line| line.split(' ').next() == Some(other))
        });
        if let Some(other) = other {
            return Err(format!(
                "{backend} depends on {other}: backends only know deployr-core"
            ));
        }
    }
    Ok(())
}

fn features_stand_alone() -> Result<(), String> {
    for (package, features) in ALONE {
        for feature in features {
            run::cargo(&[
                "check",
                "--quiet",
                "--package",
                package,
                "--no-default-features",
                "--features",
                feature,
            ])?;
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run in the folder of their crate.
    #[test]
    fn the_guards_find_the_sources_from_a_subfolder() {
        assert!(!Path::new("deployr-core/src").exists());
        run::at_root().unwrap();
        core_is_silent().unwrap();
    }
}
