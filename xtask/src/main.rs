//! The project's own tasks. `cargo xtask` lists them.

mod guards;
mod mutate;
mod run;
mod setup;
mod soak;

use std::process::ExitCode;

const HELP: &str = "\
Tasks of this repository:

  cargo xtask test           everything that a change must pass: set-up, formatting,
                             lints, tests, doctests, dependency and architecture guards
  cargo xtask test NAME      only the tests whose name contains NAME (no lints, no guards)
  cargo xtask bench [NAME...] [--json FILE] [--rounds N]
                             speed, each figure beside its limit or a peer; medians of
                             five rounds, or of N
  cargo xtask soak [--minutes N]
                             the tests that draw what they do from a seed, for about
                             N minutes (10); DEPLOYR_SOAK_SEED repeats a run
  cargo xtask mutate [NAME...]
                             breaks the engine on purpose, in a copy, one place at a time:
                             each time the tests must turn red
  cargo xtask setup          only install what the tests need (Debian, as root), or name
                             what is missing
  cargo xtask guards         only the architecture guards
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["test"] => test(),
        ["test", name] => {
            setup::run().and_then(|()| run::cargo(&["test", "--workspace", "--all-features", name]))
        }
        ["bench", rest @ ..] => bench(rest),
        ["soak", rest @ ..] => soak::run(rest),
        ["mutate", names @ ..] => mutate::run(names),
        ["setup"] => setup::run(),
        ["guards"] => guards::run(),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("no such task: {}\n\n{HELP}", args.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &[&str]) -> Result<(), String> {
    setup::of_benches(args)?;
    let command = ["run", "--release", "--quiet", "-p", "deployr-bench", "--"];
    run::cargo(&[&command[..], args].concat())
}

fn test() -> Result<(), String> {
    setup::run()?;
    run::cargo(&["fmt", "--all", "--check"])?;
    run::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ])?;
    guards::run()?;
    run::optional(
        "cargo-deny",
        &["deny", "--offline", "check", "bans", "licenses", "sources"],
    )?;
    // Last, so that a failing test stands at the end of the output.
    run::cargo(&["test", "--workspace", "--all-features"])
}
