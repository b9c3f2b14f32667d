use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// Whether an address belongs to the public internet.
///
/// A name that looked public when it was parsed can resolve to anything later,
/// so whoever opens a connection asks this about the address it got.
///
/// ```
/// use deployr_core::value::is_public_address;
///
/// assert!(is_public_address([140, 82, 121, 4].into()));
/// assert!(!is_public_address([169, 254, 169, 254].into()));
/// ```
pub fn is_public_address(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, d] = ip.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224.., ..) => true,
        (100, 64..=127, _) => true, // carrier NAT; one cloud keeps metadata here
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        (192, 168, _) => true,
        (192, 0, 0 | 2) => true,
        (198, 18 | 19, _) => true,
        (198, 51, 100) | (203, 0, 113) => true,
        // Azure answers its guests here, on an address that looks public.
        (168, 63, 129) => d == 16,
        _ => false,
    };
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let inner = |hi: u16, lo: u16| Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo));
    match (a, b) {
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0xffff) => is_public_v4(inner(g, h)),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => is_public_v4(inner(g, h)), // NAT64
        (0x2002, _) => is_public_v4(inner(b, c)),                                    // 6to4
        (0x2001, 0 | 2 | 0xdb8) => false, // Teredo, benchmarks, documentation
        (0x3fff, 0..=0xfff) => false,     // documentation
        // Only this eighth of the space is given out to the public.
        _ => (0x2000..=0x3fff).contains(&a),
    }
}

/// Whether a host, as written, can only lead into a private network.
pub(super) fn is_private_host(host: &Host<String>) -> bool {
    const PRIVATE_ZONES: [&str; 7] = [
        ".localhost",
        ".local",
        ".internal",
        ".intranet",
        ".lan",
        ".home.arpa",
        ".localdomain",
    ];
    match host {
        Host::Ipv4(ip) => !is_public_v4(*ip),
        Host::Ipv6(ip) => !is_public_v6(*ip),
        // A name with no dot is only ever found through a local search list.
        Host::Domain(name) => {
            !name.contains('.') || PRIVATE_ZONES.iter().any(|zone| name.ends_with(zone))
        }
    }
}
