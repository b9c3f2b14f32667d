//! Keys of stored things: UUIDv7, shown as a prefix and 26 letters
//! (the TypeID format, <https://github.com/jetify-com/typeid>), so that they sort
//! by age and an id of the wrong kind is refused by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::system::{Entropy, Timestamp};

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a {kind} id: expected `{prefix}_` and 26 letters or digits, as in `{prefix}_01jd5m2xkqe0vs5m6t9h2w3y4z`"
)]
pub struct InvalidId {
    /// What was looked for, in words.
    pub kind: &'static str,
    /// The prefix that such an id has.
    pub prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn encode(uuid: Uuid) -> String {
    let value = uuid.as_u128();
    (0..26)
        .rev()
        .map(|i| ALPHABET[(value >> (i * 5)) as usize & 31] as char)
        .collect()
}

fn decode(text: &str) -> Option<Uuid> {
    // 26 letters carry 130 bits: the first may only use three of its five.
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return None;
    }
    let mut value = 0u128;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        value = value << 5 | digit as u128;
    }
    Some(Uuid::from_u128(value))
}

pub(crate) fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What such an id starts with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id; ids made later sort after it (to the millisecond).
            #[must_use]
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(now, entropy))
            }

            /// The key as stored.
            #[must_use]
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// An id read back from a store.
            #[must_use]
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(InvalidId { kind: $kind, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// Names an audit entry.
    AuditId = "aud", "audit entry";
    /// Names a deployment.
    ///
    /// ```
    /// use deployr_core::model::{DeploymentId, ProjectId};
    /// use deployr_core::system::{Clock, SystemClock, SystemEntropy};
    ///
    /// let id = DeploymentId::new(SystemClock.now(), &SystemEntropy);
    /// assert!(id.to_string().starts_with("dep_"));
    /// assert_eq!(id.to_string().parse(), Ok(id));
    /// assert!(id.to_string().parse::<ProjectId>().is_err(), "a wrong kind is refused");
    /// ```
    DeploymentId = "dep", "deployment";
    /// Names a job.
    JobId = "job", "job";
    /// Names a project.
    ProjectId = "prj", "project";
    /// Names a release.
    ReleaseId = "rel", "release";
    /// Names a worker: one loop in one process, new at each start.
    WorkerId = "wrk", "worker";
}
