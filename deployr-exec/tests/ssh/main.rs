//! The SSH executor on real hosts that are slow, changed, cut off, full of tricks.
#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod files;
mod hooks;
mod hosts;
mod processes;
mod support;
mod trouble;
