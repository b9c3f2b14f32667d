//! The program as people and scripts use it.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../machine/mod.rs"]
mod machine;

mod demo;
mod deploying;
mod doctor;
mod machines;
mod refusals;
mod serving;
mod settings;
#[cfg(feature = "ssh")]
mod ssh;
mod trouble;
