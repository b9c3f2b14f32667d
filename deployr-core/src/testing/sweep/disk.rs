use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::runtime::Handle;

use crate::model::JobId;
use crate::store::Store;
use crate::testing::{ManualClock, MemoryStore};

/// Where a store keeps what it has: outlives the processes of a run.
#[async_trait]
pub trait Disk: Send + Sync {
    /// The store that goes by `clock`, opened by one more process; the first time, empty.
    async fn open(&self, clock: Arc<ManualClock>) -> Arc<dyn Store>;

    /// Another disk with the same content. Called while nobody writes to this one.
    async fn copy(&self) -> Arc<dyn Disk>;

    /// Makes a job that is queued one whose row cannot be read, and whose lease has run out,
    /// where the store can have such rows.
    async fn poison(&self, _job: JobId) {}

    /// Whether the store works on threads of its own: then whoever calls it waits on the
    /// spot, so that a run is the same each time.
    fn has_threads(&self) -> bool {
        true
    }

    /// The runtime whose threads these are, where the store needs one.
    fn runtime(&self) -> Option<Handle> {
        None
    }
}

/// The [`Disk`] of a [`MemoryStore`], which is there for as long as the disk is.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    store: OnceLock<Arc<MemoryStore>>,
    original: Option<Arc<MemoryStore>>,
}

#[async_trait]
impl Disk for MemoryDisk {
    async fn open(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let make = || match &self.original {
            Some(original) => original.copy(clock),
            None => MemoryStore::new(clock),
        };
        let store = self.store.get_or_init(|| Arc::new(make()));
        Arc::clone(store) as Arc<dyn Store>
    }

    async fn copy(&self) -> Arc<dyn Disk> {
        let original = self.store.get().or(self.original.as_ref()).cloned();
        Arc::new(Self {
            store: OnceLock::new(),
            original,
        })
    }

    fn has_threads(&self) -> bool {
        false
    }
}
