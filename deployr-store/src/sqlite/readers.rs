//! Connections that only read. They see the last commit and wait for no writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use deployr_core::store::{StoreError, StoreResult};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open::{self, Access};
use crate::error::DbResult;

pub(super) struct Readers {
    path: PathBuf,
    access: Access,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, limit: usize, access: Access) -> Self {
        let permits = limit.clamp(1, 64);
        Self {
            path,
            access,
            permits: Arc::new(Semaphore::new(permits)),
            idle: Arc::default(),
        }
    }

    /// Does `query` in a transaction of its own, on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Connection) -> DbResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let unavailable = |reason: String| StoreError::Unavailable { operation, reason };
        // Goes with the work, which goes on when this future is dropped.
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        let idle = Arc::clone(&self.idle);
        let (path, access) = (self.path.clone(), self.access);
        let work = move || -> DbResult<T> {
            let _permit = permit;
            let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let db = match free {
                Some(db) => db,
                None => open::reader(&path, access)?,
            };
            let snapshot = db.unchecked_transaction()?;
            let found = query(&snapshot);
            drop(snapshot);
            // After an error a new connection is cheaper than doubts about this one.
            if found.is_ok() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            }
            found
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| error.into_store_error(operation))
    }
}
