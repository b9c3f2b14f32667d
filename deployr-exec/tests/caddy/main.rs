//! The ingress through Caddy, over a real one.
#![cfg(feature = "caddy-ingress")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // its helpers are tests too

mod files;
mod sharing;
mod support;
mod trouble;
