//! `cargo xtask mutate`: breaks the engine on purpose, in a copy, one place at a time, and
//! asks whether the tests that guard the place turn red.

mod compose;
mod cpanel;
mod docker;
mod engine;
mod ingress;
mod leases;
mod postgres;
mod removal;
mod ssh;
mod store;
mod swarm;
mod values;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run;

/// One place that is broken.
struct Mutant {
    /// What is wrong then.
    name: &'static str,
    file: &'static str,
    /// Stands in the file once.
    find: &'static str,
    replace: &'static str,
}

/// Places that the same test guards.
struct Suite {
    /// What `cargo test` is told to run.
    test: &'static [&'static str],
    mutants: &'static [Mutant],
}

const SUITES: [Suite; 29] = [
    compose::ALLOWED,
    compose::REFUSED,
    compose::SERVICES,
    cpanel::ACCOUNT,
    cpanel::FRAMEWORKS,
    docker::DOCKER,
    engine::PIPELINE,
    ingress::ROUTES,
    ingress::DRAIN,
    ingress::OWNERS,
    leases::ENDED,
    leases::KEPT,
    worker::CLAIMING_AHEAD,
    worker::STOPPING,
    store::SQLITE,
    swarm::UP,
    swarm::VALUES,
    postgres::FENCES,
    postgres::LOCKS,
    postgres::KEYS,
    removal::REMOVAL,
    removal::STORE,
    ssh::FULL,
    ssh::HOSTS,
    ssh::TROUBLE,
    ssh::COMMANDS,
    ssh::FILES,
    values::HOSTILE,
    values::PATHS,
];

/// Where the copy is; ignored by git, as all of `target` is.
const COPY: &str = "target/mutants/tree";
const LOGS: &str = "target/mutants/logs";
/// Not the tree's own: what is built of a mutant would be taken for what is built of it.
const TARGET: &str = "target/mutants/build";

/// After so long, in seconds, a test or its build is killed, with all that it has started: what
/// hangs with a mutant is as red as what fails.
const PATIENCE: &str = "600";

/// Tries the mutants whose name has one of `names` in it; all of them where there is none.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    let wanted =
        |mutant: &&Mutant| names.is_empty() || names.iter().any(|name| mutant.name.contains(name));
    let of = |suite: &'static Suite| {
        let chosen = suite.mutants.iter().filter(wanted);
        chosen.map(move |mutant| (mutant, suite.test))
    };
    let mutants: Vec<_> = SUITES.iter().flat_map(of).collect();
    if mutants.is_empty() {
        return Err(format!("no mutant is called {}", names.join(" or ")));
    }
    run::at_root()?;
    copy_tree()?;
    fs::create_dir_all(LOGS).map_err(|error| format!("{LOGS}: {error}"))?;
    let mut failed = Vec::new();
    for (mutant, suite) in &mutants {
        let verdict = try_out(mutant, suite);
        let shown = match &verdict {
            Ok(()) => "red, as it must be",
            Err(error) => error,
        };
        eprintln!("{:<44} {shown}", mutant.name);
        if verdict.is_err() {
            failed.push(mutant.name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} of {} mutants were not caught: {}; what the tests said is in {LOGS}",
            failed.len(),
            mutants.len(),
            failed.join(", ")
        )),
    }
}

/// Copies what git knows of, and what it would be told of. A file that is the same keeps
/// its time, so that only what has changed is compiled again.
fn copy_tree() -> Result<(), String> {
    let listed = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    for file in run::output("git", &listed)?.split_terminator('\0') {
        let copy = Path::new(COPY).join(file);
        // One that was deleted and is still known to git.
        let Ok(content) = fs::read(file) else {
            let _ = fs::remove_file(&copy);
            continue;
        };
        if fs::read(&copy).is_ok_and(|there| there == content) {
            continue;
        }
        write(&copy, &content)?;
    }
    Ok(())
}

fn try_out(mutant: &Mutant, suite: &[&str]) -> Result<(), String> {
    let file = Path::new(COPY).join(mutant.file);
    let good = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let places = good.matches(mutant.find).count();
    if places != 1 {
        return Err(format!(
            "is out of date: {} has the place {places} times",
            mutant.file
        ));
    }
    write(&file, good.replace(mutant.find, mutant.replace).as_bytes())?;
    let verdict = is_red(mutant, suite);
    write(&file, good.as_bytes())?;
    verdict
}

/// A mutant that does not compile shows nothing, so that is asked first.
fn is_red(mutant: &Mutant, suite: &[&str]) -> Result<(), String> {
    if !test(mutant, suite, &["--no-run"])? {
        return Err("does not compile".to_owned());
    }
    match test(mutant, suite, &[])? {
        true => Err("NOT CAUGHT".to_owned()),
        false => Ok(()),
    }
}

fn test(mutant: &Mutant, suite: &[&str], more: &[&str]) -> Result<bool, String> {
    let log = PathBuf::from(LOGS).join(format!("{}.log", mutant.name.replace(' ', "-")));
    let told = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = told.try_clone().map_err(|error| error.to_string())?;
    let target = std::path::absolute(TARGET).map_err(|error| error.to_string())?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new("timeout")
        .args(["--signal=KILL", PATIENCE, &cargo])
        .args(["test", "--quiet", "--all-features"])
        .args(more)
        .args(suite)
        .current_dir(COPY)
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .stdout(told)
        .stderr(errors)
        .status()
        .map_err(|error| format!("cargo could not be run: {error}"))?;
    Ok(status.success())
}

fn write(file: &Path, content: &[u8]) -> Result<(), String> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::write(file, content).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::SUITES;

    /// A change of the engine that moves what a mutant looks for is told at once, and not
    /// when somebody runs them all.
    #[test]
    fn each_mutant_has_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for mutant in SUITES.iter().flat_map(|suite| suite.mutants) {
            let file = fs::read_to_string(root.join(mutant.file)).unwrap_or_default();
            let places = file.matches(mutant.find).count();
            assert_eq!(places, 1, "{}, in {}", mutant.name, mutant.file);
        }
    }
}
