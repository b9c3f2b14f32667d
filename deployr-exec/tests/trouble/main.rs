//! A host that has no room, or does not let the engine in: every part says what is wrong
//! and what to do, leaves nothing behind, and what was live stays so.
#![cfg(all(feature = "local-builder", feature = "local-executor"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builder;
#[path = "../disk/mod.rs"]
mod disk;
mod executor;
mod support;

deployr_core::site_server!();
