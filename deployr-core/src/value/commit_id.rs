use serde::{Deserialize, Serialize};

use super::{InputCode, InvalidValue};

/// The full id of a commit: 40 (SHA-1) or 64 (SHA-256) hex digits, lower case.
///
/// ```
/// use deployr_core::value::CommitId;
///
/// let id = CommitId::parse("2FD4E1C67A2D28FCED849EE1BB76E7391B93EB12")?;
/// assert_eq!(id.short(), "2fd4e1c6");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

string_value!(CommitId);

impl CommitId {
    /// Parses a full commit id.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        if !matches!(input.len(), 40 | 64) || !input.bytes().all(|b| b.is_ascii_hexdigit()) {
            let rule = "must be 40 or 64 hex digits";
            return Err(InvalidValue::new(
                "commit",
                InputCode::CommitInvalid,
                rule,
                input,
            ));
        }
        Ok(Self(input.to_ascii_lowercase()))
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}
