//! The store of many machines: one Postgres.

mod audit;
mod bus;
mod calls;
mod deployments;
mod domains;
mod enqueue;
mod error;
mod exchange;
mod hints;
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
mod releases;
mod removals;
mod retention;
mod rows;
mod schedules;
mod sweep;
mod time;
mod watch;
mod within;
mod workers;

use std::fmt;
use std::sync::Arc;

use deployr_core::store::StoreResult;
use sqlx::postgres::{PgPool, PgPoolOptions};

pub use bus::PgBus;
use calls::{Db, Tx, Work};

/// How to open a [`PgStore`].
#[derive(Debug, Clone)]
pub struct PgOptions {
    /// The schema of the tables, which is created where it is absent: `deployr`. Of a-z,
    /// 0-9 and `_`, 50 at most. Stores in several schemas know nothing of each other.
    pub schema: String,
    /// The connections: 8 at most, each tried before use where it was idle for a second,
    /// and waited for 5 s. Few are enough, as no call holds one for long. A worker has one
    /// more, for heartbeats, and a bus one to listen.
    pub pool: PgPoolOptions,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            schema: "deployr".to_owned(),
            pool: open::pool_options(),
        }
    }
}

/// A [`Store`](deployr_core::store::Store) in a schema of a Postgres database.
///
/// Any number of processes on any machines may have it open at the same time. The only
/// clock is the database's. Clones share the same connections. Calls need a Tokio runtime.
///
/// Each connection has a time-out for statements (10 s), for waits for a lock (3 s) and
/// for transactions that do nothing (15 s); a call whose answer does not come gives up
/// after 20 s. Behind a pooler, which must be told to let `options` through, connections
/// must be pooled by session.
///
/// ```no_run
/// use deployr_core::store::JobQueue;
/// use deployr_store::PgStore;
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PgStore::open("postgres://deployr@db.acme.example/deployr").await?;
/// assert_eq!(store.queue_stats().await?.queued, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgStore {
    pool: PgPool,
    schema: Arc<str>,
}

impl PgStore {
    /// Connects to the database of a URL (`postgres://user:password@host:5432/database`),
    /// and brings its tables up to date. Any number of nodes may do so at the same time.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](deployr_core::store::StoreError::Corrupt) when the tables are of a newer
    /// version; [`Unavailable`](deployr_core::store::StoreError::Unavailable) when the
    /// server cannot be reached or refuses us.
    pub async fn open(url: &str) -> StoreResult<Self> {
        Self::open_with(url, PgOptions::default()).await
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); `Unavailable` for a schema of another name than is allowed.
    pub async fn open_with(url: &str, options: PgOptions) -> StoreResult<Self> {
        let schema = options.schema.as_str().into();
        let pool = open::open(url, options).await?;
        Ok(Self { pool, schema })
    }

    /// An [`EventBus`](deployr_core::bus::EventBus) that reaches all nodes which have this
    /// store open. A second call gives a second bus, with a connection of its own: one a
    /// process is enough.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](deployr_core::store::StoreError::Unavailable) when the server cannot
    /// be reached.
    pub async fn bus(&self) -> StoreResult<PgBus> {
        PgBus::open(self.pool.clone(), &self.schema).await
    }

    async fn call<'a, T: Send>(
        &self,
        operation: &'static str,
        work: impl for<'t> Fn(&'t mut Db<'a>) -> Work<'t, T> + Send + Sync,
    ) -> StoreResult<T> {
        calls::call(&self.pool, operation, work).await
    }

    async fn write<'a, T: Send>(
        &self,
        operation: &'static str,
        work: impl for<'t> Fn(&'t mut Tx<'a>) -> Work<'t, T> + Send + Sync,
    ) -> StoreResult<T> {
        calls::write(&self.pool, operation, work).await
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").finish_non_exhaustive()
    }
}
