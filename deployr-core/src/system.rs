//! The two things that a deterministic engine must be given: the time and
//! randomness. This file is core's only door to either; everything else takes
//! them as arguments, so that a test can hold both still.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

/// A point in time, in UTC, cut to whole microseconds (what both databases keep).
pub type Timestamp = DateTime<Utc>;

/// Tells the time. Stores own one: leases are measured by the clock of the store
/// and by no other, so that a worker's wrong clock can neither end nor extend one.
///
/// ```
/// use deployr_core::system::{Clock, SystemClock};
/// assert!(SystemClock.now().timestamp() > 1_700_000_000);
/// ```
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present, cut to microseconds. May step backwards when the host's clock is set.
    fn now(&self) -> Timestamp;
}

/// The host's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros());
        timestamp_from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// The point in time `micros` microseconds after 1970-01-01T00:00:00Z; the epoch
/// itself where that is outside of the calendar.
#[must_use]
pub fn timestamp_from_micros(micros: i64) -> Timestamp {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The latest time that is kept: the end of the year 9999, in microseconds since 1970.
const LATEST: i64 = 253_402_300_799_999_999;

/// A time as stores keep it: to the microsecond, and none after the year 9999.
#[must_use]
pub fn stored(time: Timestamp) -> Timestamp {
    timestamp_from_micros(time.timestamp_micros().min(LATEST))
}

/// The time when `wait` has passed since another, as stores keep it: a wait without end
/// ends with the year 9999.
#[must_use]
pub fn later(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    timestamp_from_micros(time.timestamp_micros().saturating_add(wait).min(LATEST))
}

/// The time when `ago` was still to pass, as stores keep it; none before 1970.
#[must_use]
pub fn earlier(time: Timestamp, ago: Duration) -> Timestamp {
    let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    timestamp_from_micros(time.timestamp_micros().saturating_sub(ago).max(0))
}

/// Gives unpredictable bytes: for ids, nonces and jitter.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills the whole of `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    ///
    /// When the operating system has no randomness to give, which on the supported
    /// systems it always has once booted. Going on would repeat ids and nonces.
    fn fill(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            panic!("the operating system gives no randomness: {error}");
        }
    }
}
