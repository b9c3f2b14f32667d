//! `cargo xtask bench [NAME...] [--json FILE] [--rounds N]`: speed, each figure beside its limit or a
//! peer, both measured in the same run.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

mod cluster;
mod docker;
mod engine;
mod logs;
mod logs_postgres;
mod pipeline;
mod proxy;
mod queue;
mod queue_postgres;
mod report;
mod side_by_side;
mod ssh;

use std::process::ExitCode;

use report::Row;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Rows = Result<Vec<Row>, Error>;
type Bench = fn() -> Rows;

/// The benches, by the name that the command line knows.
const BENCHES: &[(&str, Bench)] = &[
    ("docker", docker::run),
    ("logs", logs::run),
    ("logs-postgres", logs_postgres::run),
    ("pipeline", pipeline::run),
    ("proxy", proxy::run),
    ("queue", queue::run),
    ("queue-postgres", queue_postgres::run),
    ("ssh", ssh::run),
];

/// The first argument of a process that a bench starts as one of its workers.
const CHILD: &str = "--child";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((first, rest)) if first == CHILD => queue_postgres::work(rest),
        _ => run(args.into_iter()),
    };
    match outcome {
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
            "--rounds" => {
                let rounds = args.next().ok_or("--rounds needs a number")?;
                side_by_side::set_rounds(rounds.parse()?);
            }
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
