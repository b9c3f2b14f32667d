//! Running programs, and saying so.

use std::process::{Command, Stdio};

/// Goes to the workspace's root: whoever calls this names files from there.
pub(crate) fn at_root() -> Result<(), String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    std::env::set_current_dir(root).map_err(|error| format!("cannot go to {root}: {error}"))
}

/// Runs cargo; an error names the whole command.
pub(crate) fn cargo(args: &[&str]) -> Result<(), String> {
    cargo_with(&[], args)
}

/// The same with these variables besides.
pub(crate) fn cargo_with(variables: &[(&str, &str)], args: &[&str]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    program_with(variables, &cargo, args)
}

pub(crate) fn program(program: &str, args: &[&str]) -> Result<(), String> {
    program_with(&[], program, args)
}

fn program_with(variables: &[(&str, &str)], program: &str, args: &[&str]) -> Result<(), String> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let set = variables
        .iter()
        .map(|(name, value)| format!("{name}={value} "));
    let set = set.collect::<String>();
    eprintln!("== {set}{name} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .envs(variables.iter().copied())
        .status()
        .map_err(|error| format!("`{name}` could not be run: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{name} {}` failed ({status})", args.join(" ")))
    }
}

/// Runs a cargo subcommand where it is installed, and says so where it is not.
pub(crate) fn optional(binary: &str, args: &[&str]) -> Result<(), String> {
    if !exists(binary) {
        eprintln!("== {binary} is not installed here: left out (`cargo install {binary}`)");
        return Ok(());
    }
    cargo(args)
}

pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

/// What a program prints on its standard output.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("`{program}` could not be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "`{program} {}` failed ({})",
            args.join(" "),
            output.status
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("`{program}`: {error}"))
}
