use serde::{Deserialize, Serialize};
use url::Host;

use super::{DomainName, InputCode, InvalidValue};

/// The record that shows whose a domain is has a name in front of it.
const CHALLENGE: &str = "_deployr-challenge.";
const MAX_BYTES: usize = 253 - CHALLENGE.len();
const MAX_LABEL: usize = 63;

/// Names that mean something else on each network or machine (RFC 6761 and 6762), so that
/// nobody can show that one is theirs.
const NOBODYS: [&str; 8] = [
    "alt",
    "arpa",
    "internal",
    "invalid",
    "local",
    "localdomain",
    "localhost",
    "onion",
];

/// A domain that somebody brings for a project: `shop.example.com`, in the form in which DNS
/// and browsers send it (lower case, `xn--` for other letters, no dot at the end).
///
/// ```
/// use deployr_core::value::CustomDomain;
///
/// assert_eq!(CustomDomain::parse("Shop.Example.COM.")?.as_str(), "shop.example.com");
/// assert_eq!(CustomDomain::parse("bücher.example")?.as_str(), "xn--bcher-kva.example");
/// for refused in ["example", "*.example.com", "192.0.2.7", "shop.localhost", "a..example.com"] {
///     assert!(CustomDomain::parse(refused).is_err(), "{refused}");
/// }
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
///
/// Suffixes below which others have names, as `co.uk`, are not told apart: the record that
/// shows whose a domain is can be made by who runs its zone alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustomDomain(String);

string_value!(CustomDomain);

impl CustomDomain {
    /// Parses a name of two labels or more.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |rule| InvalidValue::new("domain", InputCode::DomainInvalid, rule, input);
        let named = input.strip_suffix('.').unwrap_or(input);
        // What is no part of a name, and would be taken out or read as something else.
        let foreign = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-.".contains(c);
        if named.len() > 4 * MAX_BYTES || named.is_empty() || named.contains(foreign) {
            return Err(refuse("must be a domain, as shop.example.com"));
        }
        let name = match Host::parse(named) {
            Ok(Host::Domain(name)) => name,
            Ok(_) => return Err(refuse("must be a name, not an address")),
            Err(_) => return Err(refuse("must be a domain, as shop.example.com")),
        };
        if name.len() > MAX_BYTES {
            return Err(refuse("must not be longer than 234 bytes"));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(is_label) {
            return Err(refuse(
                "must be labels of letters, digits and '-' with dots between",
            ));
        }
        let Some((_, last)) = name.rsplit_once('.') else {
            return Err(refuse("must have two labels or more, as example.com"));
        };
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse("must be a name, not an address"));
        }
        if NOBODYS.contains(&last) {
            return Err(refuse(
                "must not end in a name that means something else everywhere",
            ));
        }
        Ok(Self(name))
    }

    /// The name of the TXT record that shows whose the domain is.
    #[must_use]
    pub fn challenge(&self) -> String {
        format!("{CHALLENGE}{self}")
    }

    /// Whether it is that domain or lies below it.
    #[must_use]
    pub fn is_within(&self, domain: &DomainName) -> bool {
        let head = self.0.strip_suffix(domain.as_str());
        head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }
}
