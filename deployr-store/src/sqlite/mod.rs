//! The embedded store: one SQLite file, no server.

mod audit;
mod deployments;
mod domains;
mod error;
mod insight;
mod jobs;
mod lines;
mod logs;
mod moves;
mod open;
mod places;
mod projects;
mod query;
mod queue;
mod readers;
mod releases;
mod removals;
mod retention;
mod rows;
mod schedules;
mod sweep;
mod watch;
mod within;
mod workers;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use deployr_core::store::{StoreError, StoreResult};
use deployr_core::system::{Clock, SystemClock};
use rusqlite::Connection;

use crate::error::DbResult;
use open::Access;
use readers::Readers;
use writer::{Tx, Writer};

use crate::timed::timed;

/// How to open a [`SqliteStore`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Tells the store's time.
    pub clock: Arc<dyn Clock>,
    /// How many reads may go on at the same time. 1..=64.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            readers: 4,
        }
    }
}

/// A [`Store`](deployr_core::store::Store) in one SQLite file.
///
/// Several processes of one machine may have the file open at the same time; it must
/// be on a local disk. Clones share the same connections, which are closed when the
/// last clone is dropped: that waits for writes under way. Calls need a Tokio runtime.
///
/// ```
/// use deployr_core::store::JobQueue;
/// use deployr_store::SqliteStore;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("deployr.db");
/// let store = SqliteStore::open(&path).await?;
/// assert_eq!(store.queue_stats().await?.queued, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    // Dropped before the writer, so that the last to close the file can tidy up.
    readers: Readers,
    /// None where there is only reading.
    writer: Option<Writer>,
}

impl SqliteStore {
    /// Opens the file, or creates it (mode 0600) with the folders that lead to it, and
    /// brings its tables up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the file is no database, or one of a newer
    /// version; [`StoreError::Unavailable`] when it cannot be opened, or is busy.
    pub async fn open(path: impl AsRef<Path> + Send) -> StoreResult<Self> {
        Self::open_with(path, Options::default()).await
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(path: impl AsRef<Path> + Send, options: Options) -> StoreResult<Self> {
        let path = path.as_ref().to_owned();
        blocking(move || {
            let db = open::writer(&path)?;
            Ok(Self(Arc::new(Inner {
                writer: Some(Writer::start(db, Arc::clone(&options.clock))?),
                clock: options.clock,
                readers: Readers::new(path, options.readers, Access::Shared),
            })))
        })
        .await
    }

    /// Opens a file that is there, to read what is in it, where nothing can be written: on
    /// a disk that is mounted so, or as another user. Every call that writes is refused.
    ///
    /// Where SQLite has left nothing beside the file, which it cannot share with writers
    /// without that, the file must not change until this is dropped.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`StoreError::Unavailable`] also when the file is not there.
    pub async fn open_read_only(path: impl AsRef<Path> + Send) -> StoreResult<Self> {
        let path = path.as_ref().to_owned();
        blocking(move || {
            let access = open::access(&path);
            open::check(&path, access)?;
            let Options { clock, readers } = Options::default();
            Ok(Self(Arc::new(Inner {
                clock,
                writer: None,
                readers: Readers::new(path, readers, access),
            })))
        })
        .await
    }

    /// Brings the file's tables up to date and closes it again; creates it where it is
    /// not there. Any number of processes may do so at the same time.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn migrate(path: impl AsRef<Path> + Send) -> StoreResult<()> {
        let path = path.as_ref().to_owned();
        blocking(move || open::writer(&path).map(drop)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Tx<'_>) -> DbResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        match &self.0.writer {
            Some(writer) => timed(operation, writer.write(operation, work)).await,
            None => Err(StoreError::Unavailable {
                operation,
                reason: "it is open for reading only; open it where it can be written to"
                    .to_owned(),
            }),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Connection) -> DbResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        timed(operation, self.0.readers.read(operation, query)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Unavailable {
            operation: "open",
            reason: error.to_string(),
        })?
}
