use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::{InputCode, InvalidValue};

const MAX_NAME_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 64 * 1024;
const RESERVED_PREFIX: &[u8] = b"DEPLOYR_";

/// The name of an environment variable.
///
/// Names that start with `DEPLOYR_`, in any case, belong to the engine.
///
/// ```
/// use deployr_core::value::{EnvName, InputCode};
///
/// assert!(EnvName::parse("_lower9").is_ok());
/// let refused = EnvName::parse("deployr_token").unwrap_err();
/// assert_eq!(refused.code, InputCode::EnvKeyReserved);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

string_value!(EnvName);

impl EnvName {
    /// Parses a variable name.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |code, rule| {
            // `NAME=value` pasted into the name field: the value stays hidden.
            let shown = input.split('=').next().unwrap_or_default();
            Err(InvalidValue::new("env_key", code, rule, shown))
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if input.is_empty() || input.len() > MAX_NAME_BYTES {
            return refuse(InputCode::EnvKeyInvalid, "must have 1 to 256 characters");
        }
        if !input.bytes().all(plain) || input.starts_with(|c: char| c.is_ascii_digit()) {
            let rule = "must only contain letters, digits and '_', and not start with a digit";
            return refuse(InputCode::EnvKeyInvalid, rule);
        }
        let prefix = input.as_bytes().get(..RESERVED_PREFIX.len());
        if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX)) {
            return refuse(InputCode::EnvKeyReserved, "must not start with DEPLOYR_");
        }
        Ok(Self(input.to_owned()))
    }
}

/// The value of an environment variable, treated as a secret.
///
/// Any text of up to 64 KiB without NUL, kept exactly as given. It has no
/// `Display` and no `Serialize`, its `Debug` form is empty, and its memory is
/// wiped when it is dropped.
///
/// ```
/// use deployr_core::value::EnvValue;
///
/// let value = EnvValue::parse(" p%40ss#w ")?;
/// assert_eq!(value.expose(), " p%40ss#w ");
/// assert_eq!(format!("{value:?}"), "EnvValue(..)");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct EnvValue(SecretString);

impl EnvValue {
    /// Parses a value.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        Self::try_from(input.as_ref().to_owned())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl TryFrom<String> for EnvValue {
    type Error = InvalidValue;

    fn try_from(mut input: String) -> Result<Self, InvalidValue> {
        let (code, rule) = if input.len() > MAX_VALUE_BYTES {
            (
                InputCode::EnvValueTooLarge,
                "must not be larger than 64 KiB",
            )
        } else if input.contains('\0') {
            (InputCode::EnvValueInvalid, "must not contain NUL")
        } else {
            return Ok(Self(SecretString::from(input)));
        };
        let bytes = input.len();
        input.zeroize();
        Err(InvalidValue::hidden("env_value", code, rule, bytes))
    }
}

impl PartialEq for EnvValue {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for EnvValue {}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvValue(..)")
    }
}
