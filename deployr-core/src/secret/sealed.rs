use std::fmt;

use super::{KeyId, OpenError};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// A sealed secret, as it is stored.
///
/// The bytes are: version, length of the key id, key id, nonce of 24 bytes,
/// ciphertext with its tag of 16 bytes.
///
/// ```
/// use deployr_core::secret::Sealed;
///
/// let mut bytes = vec![1, 2, b'k', b'1'];
/// bytes.extend([0; 24 + 16]);
/// let sealed = Sealed::from_bytes(&bytes)?;
/// assert_eq!(sealed.key_id().as_str(), "k1");
/// # Ok::<(), deployr_core::secret::OpenError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    kid: KeyId,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Reads stored bytes. This checks their form; opening checks the rest.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, OpenError> {
        let bytes = bytes.as_ref();
        let kid = read_key_id(bytes).ok_or(OpenError::Malformed)?;
        let sealed = Self {
            kid,
            bytes: bytes.to_vec(),
        };
        match sealed.parts() {
            Some((_, ciphertext)) if ciphertext.len() >= TAG_BYTES => Ok(sealed),
            _ => Err(OpenError::Malformed),
        }
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The id of the key that sealed it.
    pub fn key_id(&self) -> &KeyId {
        &self.kid
    }

    pub(super) fn header(kid: &KeyId) -> Vec<u8> {
        // A key id has at most 64 bytes, so its length fits.
        let mut header = vec![VERSION, kid.as_str().len() as u8];
        header.extend(kid.as_str().as_bytes());
        header
    }

    pub(super) fn assemble(
        kid: KeyId,
        header: &[u8],
        nonce: &[u8; NONCE_BYTES],
        ciphertext: &[u8],
    ) -> Self {
        Self {
            kid,
            bytes: [header, nonce, ciphertext].concat(),
        }
    }

    /// The nonce, and the ciphertext with its tag.
    pub(super) fn parts(&self) -> Option<(&[u8; NONCE_BYTES], &[u8])> {
        self.bytes
            .get(2 + self.kid.as_str().len()..)?
            .split_first_chunk()
    }
}

fn read_key_id(bytes: &[u8]) -> Option<KeyId> {
    let [VERSION, length, rest @ ..] = bytes else {
        return None;
    };
    let kid = rest.get(..usize::from(*length))?;
    KeyId::parse(std::str::from_utf8(kid).ok()?).ok()
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.kid, self.bytes.len())
    }
}
