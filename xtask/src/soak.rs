//! `cargo xtask soak`: the tests that draw what they do from a seed, many times over.

use std::time::UNIX_EPOCH;

use crate::{run, setup};

/// Where nobody says how long.
const MINUTES: u32 = 10;

/// What scales with `DEPLOYR_SOAK`, by the names of the test files.
const TESTS: [&str; 6] = [
    "compose",
    "fault_sweep",
    "fault_sweep_postgres",
    "kill",
    "processes",
    "ssh",
];

pub(crate) fn run(args: &[&str]) -> Result<(), String> {
    let minutes = minutes(args)?;
    setup::run()?;
    let seed = match std::env::var("DEPLOYR_SOAK_SEED") {
        Ok(seed) => seed,
        Err(_) => UNIX_EPOCH
            .elapsed()
            .map_or(1, |now| now.as_secs())
            .to_string(),
    };
    let mut test = vec!["test", "--workspace", "--all-features", "--no-fail-fast"];
    for name in TESTS {
        test.extend(["--test", name]);
    }
    test.extend(["--", "--nocapture", "--include-ignored"]);
    // Once through all of them takes two cores about four minutes.
    let times = (minutes / 4).max(1).to_string();
    let variables = [
        ("DEPLOYR_SOAK", times.as_str()),
        ("DEPLOYR_SOAK_SEED", seed.as_str()),
    ];
    run::cargo_with(&variables, &test)
}

fn minutes(args: &[&str]) -> Result<u32, String> {
    let minutes = match args {
        [] => return Ok(MINUTES),
        ["--minutes", minutes] => minutes,
        _ => return Err(format!("soak takes --minutes N, not `{}`", args.join(" "))),
    };
    let number = minutes.parse::<u32>().ok().filter(|minutes| *minutes > 0);
    number.ok_or_else(|| format!("--minutes takes a whole number from 1 on, not `{minutes}`"))
}
