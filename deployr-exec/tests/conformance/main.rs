//! The parts of this crate do what every part of their kind must do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "local-builder")]
mod builder;
#[cfg(feature = "local-executor")]
mod executor;
#[cfg(feature = "builtin-ingress")]
mod ingress;
#[cfg(feature = "ssh")]
mod ssh;

#[cfg(any(feature = "local-executor", feature = "ssh"))]
deployr_core::site_server!();
