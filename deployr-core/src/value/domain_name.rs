use serde::{Deserialize, Serialize};

use super::{InputCode, InvalidValue};

const MAX_LABEL: usize = 63;
/// So that a label more and its dot still make a name.
const MAX_BYTES: usize = 253 - MAX_LABEL - 1;

/// A domain below which projects have their names.
///
/// ```
/// use deployr_core::value::DomainName;
///
/// assert_eq!(DomainName::parse("Apps.Example.com.")?.as_str(), "apps.example.com");
/// assert!(DomainName::parse("http://example.com").is_err());
/// assert!(DomainName::parse("192.0.2.7").is_err());
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

string_value!(DomainName);

impl DomainName {
    /// Parses a name of one label or more. It becomes lower case, without a dot at its end.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let name = input
            .strip_suffix('.')
            .unwrap_or(input)
            .to_ascii_lowercase();
        let refuse = |rule| {
            Err(InvalidValue::new(
                "domain",
                InputCode::DomainInvalid,
                rule,
                input,
            ))
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > MAX_BYTES {
            return refuse("must not be longer than 189 bytes");
        }
        if !name.split('.').all(is_label) {
            return refuse(
                "must be labels of a-z, 0-9 and '-' with dots between, as in apps.example.com",
            );
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return refuse("must be a name, not an address");
        }
        Ok(Self(name))
    }

    /// `localhost`, which browsers know to be this machine, with all names below it.
    #[must_use]
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }
}
