//! Releases on a real Docker engine, and what may happen to them there.
#![cfg(feature = "docker")]
#![allow(
    clippy::unwrap_used,
    reason = "test code, which should stop where something is wrong"
)]

#[path = "../apps/mod.rs"]
mod apps;
mod away;
mod builds;
mod confinement;
#[path = "../container_support/mod.rs"]
mod container_support;
mod cut;
mod disk;
mod frameworks;
mod images;
mod load;
mod logins;
mod remove;
mod secrets;
mod support;
mod usage;
mod verify;
