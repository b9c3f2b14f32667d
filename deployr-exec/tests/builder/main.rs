//! The local builder, with real processes.
#![cfg(feature = "local-builder")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../corpus/mod.rs"]
mod corpus;

mod confinement;
mod output;
mod passed;
mod paths;
mod processes;
mod stuck;
mod support;
mod workspaces;
