//! The cPanel executor on an account that is slow, full, cut off, told lies, full of
//! tricks. It is a fake: see `deployr_testkit::cpanel`.
#![cfg(feature = "cpanel")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "local-builder")]
#[path = "../apps/mod.rs"]
mod apps;
#[path = "../corpus/mod.rs"]
mod corpus;
mod doctor;
mod files;
#[cfg(feature = "local-builder")]
mod frameworks;
mod git;
mod hostile;
mod lock;
mod more;
mod php;
#[path = "../remote/mod.rs"]
mod remote;
mod remove;
mod support;
mod switch;
mod trouble;
