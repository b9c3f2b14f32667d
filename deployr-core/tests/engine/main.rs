//! The engine over parts in memory: what a deployment does to each of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::future_not_send,
    reason = "a test fails by panicking, and runs on one thread"
)]

mod failing;
mod going_live;
mod refusing;
mod stopping;
mod support;
