use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{InputCode, InvalidValue};

/// An address, or a network of them.
///
/// ```
/// use deployr_core::value::Network;
///
/// let network = Network::parse("10.0.0.0/8")?;
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(!network.contains("11.0.0.1".parse().unwrap()));
/// assert!(Network::parse("::1")?.contains("::1".parse().unwrap()));
/// assert!(Network::parse("10.0.0.1/8").is_err());
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// This host's own: `127.0.0.0/8` and `::1`.
    pub const LOOPBACK: [Self; 2] = [
        Self {
            base: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
            prefix: 8,
        },
        Self {
            base: IpAddr::V6(Ipv6Addr::LOCALHOST),
            prefix: 128,
        },
    ];

    /// Parses an address, alone or with the length of a prefix behind a slash.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |rule| InvalidValue::new("network", InputCode::NetworkInvalid, rule, input);
        let (address, prefix) = match input.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (input, None),
        };
        let base: IpAddr = address
            .parse()
            .map_err(|_| refuse("must be an IP address, or one with a prefix as in 10.0.0.0/8"))?;
        if base.to_canonical() != base {
            return Err(refuse("must not be an IPv4 address in the form of IPv6"));
        }
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let digits = |prefix: &&str| prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => bits,
            Some(prefix) => Some(prefix)
                .filter(digits)
                .and_then(|prefix| prefix.parse().ok())
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| {
                    refuse("must have a prefix of at most 32 (IPv4) or 128 (IPv6) bits")
                })?,
        };
        let network = Self { base, prefix };
        if network.masked(base) != bits_of(base) {
            return Err(refuse("must have only zeros behind its prefix"));
        }
        Ok(network)
    }

    /// Whether the address is in it, also where it is an IPv4 address in the form of IPv6.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4() && self.masked(address) == bits_of(self.base)
    }

    /// The address with zeros behind the prefix.
    fn masked(&self, address: IpAddr) -> u128 {
        let behind = u32::from(if address.is_ipv4() { 32 } else { 128 } - self.prefix);
        let bits = bits_of(address);
        bits.checked_shr(behind)
            .and_then(|head| head.checked_shl(behind))
            .unwrap_or(0)
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl std::str::FromStr for Network {
    type Err = InvalidValue;

    fn from_str(input: &str) -> Result<Self, InvalidValue> {
        Self::parse(input)
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidValue;

    fn try_from(input: String) -> Result<Self, InvalidValue> {
        Self::parse(input)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}
