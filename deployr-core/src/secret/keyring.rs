use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, Zeroizing};

use super::{Key, KeyError, KeyId, Sealed};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The place a secret is stored in. It opens in that place only, so whoever
/// can write to the database still cannot move a secret to a row of their own.
///
/// ```
/// use deployr_core::secret::SealContext;
///
/// let place = SealContext { table: "env", column: "value", tenant: "acme", row: "7" };
/// assert_eq!(place.row, "7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The tenant that owns the row.
    pub tenant: &'a str,
    /// The id of the row.
    pub row: &'a str,
}

impl SealContext<'_> {
    /// Each part after its length, so that no two places read the same.
    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let parts = [self.table, self.column, self.tenant, self.row].map(str::as_bytes);
        let mut data = Vec::new();
        for part in std::iter::once(header).chain(parts) {
            data.extend((part.len() as u64).to_le_bytes());
            data.extend(part);
        }
        data
    }
}

/// The keys that secrets are sealed with: the first seals, all of them open.
///
/// To rotate, put a new key first and rewrite what
/// [`needs_rewrap`](KeyRing::needs_rewrap) names; then drop the old key.
///
/// ```
/// use deployr_core::secret::{KeyId, KeyRing};
///
/// let ring = KeyRing::new(vec![
///     (KeyId::parse("new")?, [2; 32]),
///     (KeyId::parse("old")?, [1; 32]),
/// ])?;
/// assert_eq!(format!("{ring:?}"), r#"KeyRing(["new", "old"])"#);
/// # Ok::<(), deployr_core::secret::KeyError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    first: Key,
    others: Vec<Key>,
}

impl KeyRing {
    /// A ring of keys, the one that seals first.
    pub fn new(keys: Vec<(KeyId, [u8; 32])>) -> Result<Self, KeyError> {
        let keys = keys.into_iter().map(|(id, mut bytes)| {
            let key = Key::from_bytes(bytes, id);
            bytes.zeroize();
            key
        });
        Self::from_keys(keys)
    }

    /// A ring from text: `id:base64`, with commas between the keys.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let keys = text
            .split(',')
            .enumerate()
            .map(|(at, entry)| parse_key(at + 1, entry));
        Self::from_keys(keys.collect::<Result<Vec<_>, _>>()?)
    }

    fn from_keys(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let mut keys = keys.into_iter();
        let mut ring = Self {
            first: keys.next().ok_or(KeyError::Empty)?,
            others: Vec::new(),
        };
        for key in keys {
            if ring.find(key.id()).is_some() {
                return Err(KeyError::DuplicateId {
                    kid: key.id().clone(),
                });
            }
            ring.others.push(key);
        }
        Ok(ring)
    }

    fn find(&self, id: &KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id() == id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Seals a secret for one place.
    ///
    /// The nonce must never be used twice with one key; 24 random bytes never
    /// are. It is an argument because the core has no randomness of its own.
    pub fn seal(
        &self,
        context: &SealContext<'_>,
        plaintext: &[u8],
        nonce: [u8; 24],
    ) -> Result<Sealed, SealError> {
        let header = Sealed::header(self.first.id());
        let aad = context.associated_data(&header);
        let payload = Payload {
            msg: plaintext,
            aad: &aad,
        };
        let ciphertext = cipher(&self.first)
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| SealError)?;
        Ok(Sealed::assemble(
            self.first.id().clone(),
            &header,
            &nonce,
            &ciphertext,
        ))
    }

    /// Opens a secret in the place it was sealed for.
    pub fn open(
        &self,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let kid = sealed.key_id();
        let key = self
            .find(kid)
            .ok_or_else(|| OpenError::UnknownKey { kid: kid.clone() })?;
        let (nonce, ciphertext) = sealed.parts().ok_or(OpenError::Malformed)?;
        let aad = context.associated_data(&Sealed::header(kid));
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        cipher(key)
            .decrypt(XNonce::from_slice(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::Tampered)
    }

    /// Whether a secret was sealed with another key than the first.
    pub fn needs_rewrap(&self, sealed: &Sealed) -> bool {
        sealed.key_id() != self.first.id()
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes().into())
}

fn parse_key(number: usize, entry: &str) -> Result<Key, KeyError> {
    let (id, encoded) = entry
        .split_once(':')
        .ok_or(KeyError::InvalidEntry { number })?;
    let kid = KeyId::parse(id.trim())?;
    let decoded = BASE64.decode(encoded.trim()).map(Zeroizing::new).ok();
    match decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok()) {
        Some(bytes) => Ok(Key::from_bytes(bytes, kid)),
        None => Err(KeyError::InvalidKey { kid }),
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys().map(|key| key.id().as_str()).collect();
        f.debug_tuple("KeyRing")
            .field(&format_args!("{ids:?}"))
            .finish()
    }
}

/// The secret is larger than the cipher can seal, which is 256 GiB.
///
/// ```
/// use deployr_core::secret::SealError;
///
/// assert_eq!(SealError.to_string(), "the secret is too large to seal");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is too large to seal")]
pub struct SealError;

/// Why a secret did not open.
///
/// ```
/// use deployr_core::secret::{OpenError, Sealed};
///
/// assert_eq!(Sealed::from_bytes(b"plain text"), Err(OpenError::Malformed));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The ring has no key of this id.
    #[error("the secret was sealed with the unknown key {kid}")]
    UnknownKey {
        /// The id.
        kid: KeyId,
    },
    /// The bytes were changed, or belong to another place or key.
    #[error("the secret was changed or belongs somewhere else")]
    Tampered,
    /// The bytes are not a sealed secret.
    #[error("the bytes are not a sealed secret")]
    Malformed,
}
