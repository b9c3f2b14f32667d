//! A store that takes no writes.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;

/// A store that takes no writes: away, out of space, read-only. See
/// [`Engine::store_trouble`].
#[derive(Debug, Clone)]
pub struct StoreTrouble {
    /// When the first write failed of those that have failed in a row.
    pub since: Instant,
    /// What the store said last.
    pub error: String,
    last: Instant,
}

impl StoreTrouble {
    /// One more failure, of those that `before` tells of.
    fn again(before: Option<&Self>, error: &dyn Display) -> Self {
        let now = Instant::now();
        let since = match before {
            Some(before) if before.last.elapsed() < STALE => before.since,
            _ => now,
        };
        Self {
            since,
            error: error.to_string(),
            last: now,
        }
    }
}

impl Engine {
    /// Since when the store has not taken what this engine's workers write, and why; none
    /// while all is well, and none without a worker. The engine goes on trying for as long
    /// as it takes: whether to wait, to alarm somebody or to end is up to the host.
    ///
    /// A write that is refused is told also while the store takes others, as one with little
    /// space left takes heartbeats and no more lines of a log. Over once that write and a
    /// heartbeat were taken, or when none has failed for a minute.
    #[must_use]
    pub fn store_trouble(&self) -> Option<StoreTrouble> {
        let state = self.inner().trouble.lock();
        let all = state.beats.iter().chain(state.writes.values());
        let fresh = all.filter(|trouble| trouble.last.elapsed() < STALE);
        fresh.min_by_key(|trouble| trouble.since).cloned()
    }
}

/// A worker in trouble fails more often than that: by its heartbeats while it holds a
/// job, by its sweeps once the lease has run out, by each write that it tries again.
const STALE: Duration = Duration::from_secs(60);

/// Where those who write to the store tell that it does not take it.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of heartbeats, sweeps and claims, one of which is never far away.
    beats: Option<StoreTrouble>,
    /// Of writes that are tried again until they are taken.
    writes: BTreeMap<u64, StoreTrouble>,
    next: u64,
}

impl Trouble {
    pub(crate) fn failed(&self, error: &dyn Display) {
        let mut state = self.lock();
        state.beats = Some(StoreTrouble::again(state.beats.as_ref(), error));
    }

    pub(crate) fn over(&self) {
        self.lock().beats = None;
    }

    /// For a write that is tried again until it is taken.
    pub(crate) fn of_write(&self) -> WriteTrouble<'_> {
        WriteTrouble {
            trouble: self,
            key: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That of one write; over when this is dropped, as it was taken or is given up.
pub(crate) struct WriteTrouble<'a> {
    trouble: &'a Trouble,
    key: Option<u64>,
}

impl WriteTrouble<'_> {
    pub(crate) fn failed(&mut self, error: &dyn Display) {
        let mut state = self.trouble.lock();
        let key = *self.key.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        let again = StoreTrouble::again(state.writes.get(&key), error);
        state.writes.insert(key, again);
    }
}

impl Drop for WriteTrouble<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.trouble.lock().writes.remove(&key);
        }
    }
}
