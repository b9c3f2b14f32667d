//! Secrets at rest: sealed with a key of a [`KeyRing`], bound to the place
//! they are stored in.
//!
//! ```
//! use deployr_core::secret::{KeyRing, SealContext};
//!
//! let ring = KeyRing::parse("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
//! let place = SealContext { table: "env", column: "value", tenant: "acme", row: "7" };
//!
//! // Use a fresh random nonce each time.
//! let sealed = ring.seal(&place, b"hunter2", [7; 24])?;
//! assert_eq!(ring.open(&place, &sealed)?.as_slice(), b"hunter2");
//!
//! let elsewhere = SealContext { row: "8", ..place };
//! assert!(ring.open(&elsewhere, &sealed).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod key;
mod keyring;
mod sealed;

#[cfg(test)]
mod tests;

pub use key::{Key, KeyError, KeyId};
pub use keyring::{KeyRing, OpenError, SealContext, SealError};
pub use sealed::Sealed;
