//! The way from this host to an engine in a network of its own.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::succeeds;

/// A pair of interfaces, one on each side, and the addresses behind it.
pub(super) struct Net {
    /// The first two parts of all addresses.
    pub(super) prefix: String,
    outside: String,
}

impl Net {
    /// One that nobody on this host uses.
    pub(super) fn take() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let pid = std::process::id();
        for _ in 0..64 {
            let number = (pid + 7 * NEXT.fetch_add(1, Ordering::Relaxed)) % 100 + 100;
            // In the table a network stands as a number in hexadecimal, its last byte first.
            if !routes.contains(&format!("\t0000{number:02X}0A\t")) {
                return Self {
                    prefix: format!("10.{number}"),
                    outside: format!("dpl{:x}", pid * 100 + number),
                };
            }
        }
        panic!("all networks from 10.100 to 10.199 are in use");
    }

    pub(super) fn lay(&self, inside: u32) {
        let Self { prefix, outside } = self;
        let script = r#"set -e
            ip link add "$1" type veth peer name inside netns "$2"
            ip address add "$0.255.1/30" dev "$1"
            ip link set "$1" up
            ip route add "$0.0.0/17" via "$0.255.2""#;
        let mut lay = Command::new("sh");
        lay.args(["-c", script, prefix, outside, &inside.to_string()]);
        assert!(succeeds(&mut lay), "no network could be laid to the engine");
    }
}
