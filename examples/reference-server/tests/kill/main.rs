//! The server is killed at moments that nobody has chosen, again and again, while it
//! deploys and serves; and everything goes on.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::future_not_send,
    reason = "a test fails by panicking and tells why, in its helpers too"
)]

mod client;
#[path = "../machine/mod.rs"]
#[expect(dead_code, reason = "the tests of the command line need the rest")]
mod machine;
mod plan;
mod rest;
mod server;
mod site;
mod watch;
mod world;

use plan::Plan;
use world::World;

/// Invariants 1, 8, 10, 15, 25, 26 and 28 with real processes, files and sockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_moment_loses_nothing() {
    let plan = Plan::new();
    eprintln!("once more: DEPLOYR_SOAK_SEED={}", plan.seed);
    let mut world = World::new(plan).await;
    for kill in 0..world.plan.kills {
        world.live_and_die(kill).await;
    }
    world.come_to_rest().await;
}
