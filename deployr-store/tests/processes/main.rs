//! Real worker processes on one Postgres: killed, stopped for a while, with clocks that are
//! wrong, and with a database that goes away. What they did is in a ledger, and judged by
//! one pure function.
//!
//! The moments are drawn from a seed, which is printed on failure: `DEPLOYR_SOAK_SEED=N`
//! begins with another, and `DEPLOYR_SOAK=N` goes on N times as long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod child;
mod kills;
mod ledger;
mod outage;
mod stopped;
mod swarm;

use std::time::Duration;

/// How long a lease holds: as short as a busy machine lets heartbeats be on time.
const LEASE: Duration = Duration::from_secs(4);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many times as much is to be done.
fn times() -> u64 {
    number("DEPLOYR_SOAK").unwrap_or(1).max(1)
}

fn first_seed() -> u64 {
    number("DEPLOYR_SOAK_SEED").unwrap_or(1)
}
