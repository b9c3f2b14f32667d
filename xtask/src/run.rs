//! Running programs, and saying so.

use std::process::{Command, Stdio};

/// Runs cargo; an error names the whole command.
pub(crate) fn cargo(args: &[&str]) -> Result<(), String> {
    program(
        &std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()),
        args,
    )
}

pub(crate) fn program(program: &str, args: &[&str]) -> Result<(), String> {
    let name = program.rsplit('/').next().unwrap_or(program);
    eprintln!("== {name} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
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
