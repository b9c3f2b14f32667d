//! Clocks that go as a test wants it, and randomness that is the same each time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::system::{Clock, Entropy, Timestamp, later, timestamp_from_micros};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clock that moves when it is told to, and only then.
///
/// ```
/// use std::time::Duration;
/// use deployr_core::system::Clock;
/// use deployr_core::testing::ManualClock;
///
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!((clock.now() - before).num_seconds(), 60);
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets it, backwards too.
    pub fn set(&self, now: Timestamp) {
        *lock(&self.0) = now;
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut now = lock(&self.0);
        *now = later(*now, by);
    }
}

impl Default for ManualClock {
    /// 2027-01-15T08:00:00Z.
    fn default() -> Self {
        Self::new(timestamp_from_micros(1_800_000_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

/// A clock that goes with that of the tokio runtime, so also by leaps where that is paused.
/// Only tasks of the runtime see it so: not the thread of its own that a store may write with.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?
/// # .block_on(async {
/// use std::time::Duration;
/// use deployr_core::system::Clock;
/// use deployr_core::testing::RuntimeClock;
///
/// let clock = RuntimeClock::default();
/// let before = clock.now();
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// assert_eq!((clock.now() - before).num_seconds(), 60);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct RuntimeClock {
    start: Timestamp,
    started: Instant,
}

impl RuntimeClock {
    /// A clock that shows `now`, and goes from there.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            start: now,
            started: Instant::now(),
        }
    }
}

impl Default for RuntimeClock {
    /// 2027-01-15T08:00:00Z.
    fn default() -> Self {
        Self::new(ManualClock::default().now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        later(self.start, self.started.elapsed())
    }
}

/// Randomness that follows from a seed (splitmix64). For tests only: whoever knows
/// the seed knows it all.
///
/// ```
/// use deployr_core::testing::SeededEntropy;
///
/// assert_eq!(SeededEntropy::new(7).next(), SeededEntropy::new(7).next());
/// assert_ne!(SeededEntropy::new(7).next(), SeededEntropy::new(8).next());
/// ```
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number, below `end`; 0 where `end` is 0.
    pub fn below(&self, end: usize) -> usize {
        self.next().checked_rem(end as u64).unwrap_or(0) as usize
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
