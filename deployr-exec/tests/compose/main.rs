//! Compose files on a real Docker engine, by the real compose tool.
#![cfg(feature = "compose")]
#![allow(
    clippy::unwrap_used,
    reason = "test code, which should stop where something is wrong"
)]

mod beside;
#[path = "../container_support/mod.rs"]
mod container_support;
mod corpus;
mod load;
mod logins;
mod remove;
mod support;
