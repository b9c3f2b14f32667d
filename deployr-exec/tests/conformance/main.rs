//! The parts of this crate do what every part of their kind must do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "local-builder")]
mod builder;
#[cfg(feature = "compose")]
mod compose;
#[cfg(feature = "docker")]
mod containers;
#[cfg(feature = "cpanel")]
mod cpanel;
#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "local-executor")]
mod executor;
#[cfg(any(feature = "cpanel", feature = "local-executor", feature = "ssh"))]
mod fetch;
#[cfg(any(feature = "builtin-ingress", feature = "caddy-ingress"))]
mod ingress;
#[cfg(feature = "caddy-ingress")]
mod network;
#[cfg(feature = "ssh")]
mod ssh;
#[cfg(feature = "swarm")]
mod swarm;

#[cfg(any(feature = "local-executor", feature = "ssh"))]
deployr_core::site_server!();
