//! `cargo xtask bench [NAME...] [--json FILE]`: speed, each figure beside its limit or a
//! peer, both measured in the same run.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

mod logs;
mod pipeline;
mod proxy;
mod queue;
mod report;
mod side_by_side;

use std::process::ExitCode;

use report::Row;

type Error = Box<dyn std::error::Error>;
type Rows = Result<Vec<Row>, Error>;
type Bench = fn() -> Rows;

/// The benches, by the name that the command line knows.
const BENCHES: &[(&str, Bench)] = &[
    ("logs", logs::run),
    ("pipeline", pipeline::run),
    ("proxy", proxy::run),
    ("queue", queue::run),
];

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), Error> {
    let mut names = Vec::new();
    let mut json = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => json = Some(args.next().ok_or("--json needs a file")?),
            name if BENCHES.iter().any(|(known, _)| *known == name) => names.push(arg),
            other => {
                let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
                return Err(format!("no bench `{other}`; there are: {}", known.join(", ")).into());
            }
        }
    }
    let mut rows = Vec::new();
    for (name, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            eprintln!("bench {name}");
            rows.extend(bench()?);
        }
    }
    print!("{}", report::table(&rows));
    if let Some(file) = json {
        std::fs::write(&file, serde_json::to_vec_pretty(&rows)?)
            .map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    Ok(())
}
