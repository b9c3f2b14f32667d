//! Real servers for tests and benches: started on free ports of the loopback, gone
//! with the process that asked for them, even when that is killed.
//!
//! What cannot be started is a panic that names the missing program: a test that needs
//! a server fails without it, and is never skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it is only used by tests, which should stop where something is wrong"
)]

pub mod docker;
mod keeper;
pub mod postgres;
