//! A store that takes no writes.

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

impl Engine {
    /// Since when the store has taken no write from this engine's workers, and why; none
    /// while all is well, and none without a worker. The engine goes on trying for as long
    /// as it takes: whether to wait, to alarm somebody or to end is up to the host.
    ///
    /// Over once a write was taken, or when none has failed for a minute.
    #[must_use]
    pub fn store_trouble(&self) -> Option<StoreTrouble> {
        let trouble = self.inner().trouble.lock().clone();
        trouble.filter(|trouble| trouble.last.elapsed() < STALE)
    }
}

/// A worker in trouble fails more often than that: by its heartbeats while it holds a
/// job, by its sweeps once the lease has run out.
const STALE: Duration = Duration::from_secs(60);

/// What the workers tell of the store.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<StoreTrouble>>);

impl Trouble {
    pub(crate) fn failed(&self, error: &dyn Display) {
        let now = Instant::now();
        let mut trouble = self.lock();
        let since = match &*trouble {
            Some(before) if before.last.elapsed() < STALE => before.since,
            _ => now,
        };
        *trouble = Some(StoreTrouble {
            since,
            error: error.to_string(),
            last: now,
        });
    }

    pub(crate) fn over(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<StoreTrouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
