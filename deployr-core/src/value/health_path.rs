use serde::{Deserialize, Serialize};

use super::{InputCode, InvalidValue};

const MAX_BYTES: usize = 1024;

/// The path that is asked to learn whether a deployed app is up.
///
/// ```
/// use deployr_core::value::HealthPath;
///
/// assert_eq!(HealthPath::default().as_str(), "/");
/// assert!(HealthPath::parse("/healthz?full=1").is_ok());
/// assert!(HealthPath::parse("//evil.example/").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HealthPath(String);

string_value!(HealthPath);

impl HealthPath {
    /// Parses a path, with a query if need be.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |rule| {
            Err(InvalidValue::new(
                "health_path",
                InputCode::HealthPathInvalid,
                rule,
                input,
            ))
        };
        // The excluded ones are not allowed in a URL, or (`\`) are read as `/`
        // by some, or (`#`) end what is sent.
        let plain = |b: u8| b.is_ascii_graphic() && !b"\"'`<>\\#".contains(&b);
        if input.len() > MAX_BYTES {
            return refuse("must not be longer than 1024 bytes");
        }
        if !input.starts_with('/') || input.starts_with("//") {
            return refuse("must start with one '/'");
        }
        if !input.bytes().all(plain) {
            return refuse("must only contain characters that a URL allows");
        }
        Ok(Self(input.to_owned()))
    }
}

impl Default for HealthPath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}
