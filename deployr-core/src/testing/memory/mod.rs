//! A store in memory, with the semantics of the real ones and none of their speed:
//! each write works on a copy of everything, which replaces the old when it went well.

mod deployments;
mod domains;
mod insight;
mod jobs;
mod moves;
mod projects;
mod queue;
mod records;
mod removals;
mod retention;
mod schedules;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::State;
use crate::store::StoreResult;
use crate::system::{Clock, SystemClock};

/// A [`Store`](crate::store::Store) that forgets everything with the process.
///
/// ```
/// use deployr_core::model::Page;
/// use deployr_core::store::Projects;
/// use deployr_core::testing::MemoryStore;
/// use deployr_core::value::TenantId;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::default();
/// let projects = store.projects(&TenantId::parse("acme")?, Page::first(10)).await?;
/// assert!(projects.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store that goes by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State::new(clock.now());
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    /// Another store with the same content, which goes by `clock`.
    pub(in crate::testing) fn copy(&self, clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(self.lock().clone());
        Self { clock, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> StoreResult<T>) -> StoreResult<T> {
        read(&self.lock())
    }

    /// One transaction.
    fn write<T>(&self, write: impl FnOnce(&mut State) -> StoreResult<T>) -> StoreResult<T> {
        let mut state = self.lock();
        let mut draft = state.clone();
        draft.now = self.clock.now();
        let answer = write(&mut draft)?;
        *state = draft;
        Ok(answer)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}
