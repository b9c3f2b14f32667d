//! The SSH executor on real hosts that are slow, changed, cut off, full of tricks.
#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "local-builder")]
#[path = "../apps/mod.rs"]
mod apps;
#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../disk/mod.rs"]
mod disk;
mod doctor;
mod files;
mod full;
mod hooks;
mod hosts;
#[cfg(feature = "local-builder")]
mod laravel;
#[cfg(all(feature = "builtin-ingress", feature = "local-builder"))]
mod next;
mod processes;
#[path = "../remote/mod.rs"]
mod remote;
mod remove;
mod support;
mod trouble;
mod workers;
