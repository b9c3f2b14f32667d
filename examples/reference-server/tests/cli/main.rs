//! The program as people and scripts use it.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../machine/mod.rs"]
mod machine;

#[cfg(feature = "cpanel")]
mod cpanel;
mod demo;
mod deploying;
#[cfg(feature = "docker")]
mod docker;
mod doctor;
mod domains;
#[cfg(feature = "ssh")]
mod laravel;
mod machines;
mod refusals;
mod removing;
mod serving;
mod settings;
#[cfg(feature = "ssh")]
mod ssh;
mod trouble;
