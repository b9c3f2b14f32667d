use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

const MAX_ID_BYTES: usize = 64;

/// The name of a key. It is public and stored beside what the key sealed.
///
/// ```
/// use deployr_core::secret::KeyId;
///
/// assert_eq!(KeyId::parse("2024-10")?.as_str(), "2024-10");
/// assert!(KeyId::parse("a:b").is_err());
/// # Ok::<(), deployr_core::secret::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Parses 1 to 64 letters, digits, `.`, `_` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, KeyError> {
        let input = input.as_ref();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if input.is_empty() || input.len() > MAX_ID_BYTES || !input.bytes().all(plain) {
            return Err(KeyError::InvalidId);
        }
        Ok(Self(input.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(input: &str) -> Result<Self, KeyError> {
        Self::parse(input)
    }
}

/// A key of 32 bytes with its id. Wiped from memory when dropped.
///
/// ```
/// use deployr_core::secret::{Key, KeyId};
///
/// let key = Key::from_bytes([1; 32], KeyId::parse("k1")?);
/// assert_eq!(format!("{key:?}"), "Key(k1)");
/// # Ok::<(), deployr_core::secret::KeyError>(())
/// ```
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; 32], id: KeyId) -> Self {
        Self {
            id,
            bytes: Zeroizing::new(bytes),
        }
    }

    /// The public name of the key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Why keys were refused. Never tells anything of a key but its id.
///
/// ```
/// use deployr_core::secret::{KeyError, KeyRing};
///
/// assert_eq!(KeyRing::parse("").unwrap_err(), KeyError::Empty);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key at all.
    #[error("a key ring needs at least one key")]
    Empty,
    /// A key id has a form that is not allowed.
    #[error("a key id must be 1 to 64 letters, digits, '.', '_' or '-'")]
    InvalidId,
    /// Two keys have the same id.
    #[error("the key id {kid} is used twice")]
    DuplicateId {
        /// The id.
        kid: KeyId,
    },
    /// An entry is not of the form `id:base64`.
    #[error("key {number} must have the form id:base64")]
    InvalidEntry {
        /// Which entry it is, counted from 1.
        number: usize,
    },
    /// A key is not base64 of 32 bytes.
    #[error("the key {kid} must be base64 of 32 bytes")]
    InvalidKey {
        /// The id.
        kid: KeyId,
    },
}
