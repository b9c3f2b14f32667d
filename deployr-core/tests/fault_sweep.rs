//! A fault at any call leaves an engine that goes on: over the store in memory.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use deployr_core::testing::sweep::{MemoryDisk, Sweep};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let built = builder.enable_time().start_paused(true).build();
    built.expect("a runtime")
}

fn sweep() -> Sweep {
    Sweep::new(runtime, || Arc::new(MemoryDisk::default()))
}

#[test]
fn a_fault_at_any_call_leaves_an_engine_that_goes_on() {
    sweep().every_call();
}

#[test]
fn two_faults_at_random_leave_an_engine_that_goes_on() {
    sweep().soak(60);
}
