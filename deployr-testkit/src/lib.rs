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

pub mod caddy;
pub mod cpanel;
pub mod dns;
pub mod docker;
mod keeper;
pub mod php;
pub mod postgres;
pub mod ssh;
pub mod told;

use std::net::{Ipv4Addr, TcpListener};

/// A port of the loopback that nobody has at present.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
