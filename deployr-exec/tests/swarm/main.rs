//! Releases on a real Swarm of one node, and what may happen to them there.
#![cfg(feature = "swarm")]
#![allow(
    clippy::unwrap_used,
    reason = "test code, which should stop where something is wrong"
)]

mod away;
#[path = "../container_support/mod.rs"]
mod container_support;
mod cut;
mod images;
mod load;
mod remove;
mod replicas;
mod support;
mod values;
mod verify;
