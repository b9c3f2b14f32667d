//! Calls on connections: within a time, in a transaction where there is more than one
//! statement, and made again where Postgres has given one up for the sake of others.

use std::pin::Pin;
use std::time::Duration;

use deployr_core::store::{StoreError, StoreResult};
use deployr_core::system::{self, Timestamp, timestamp_from_micros};
use sqlx::Row;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use tokio::runtime::Handle;

use super::time;
use crate::error::{DbError, DbResult};
use crate::timed::timed;

/// What a call may take, a wait for a connection included: longer than all that the
/// server limits by itself, for the server that does not answer at all.
const LIMIT: Duration = Duration::from_secs(20);

/// What a server that answers at all needs to end what is under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a call is made again that stood in the way of another's.
const RETRIES: u32 = 5;

/// The work of one call, in the making.
pub(super) type Work<'t, T> = Pin<Box<dyn Future<Output = DbResult<T>> + Send + 't>>;

/// A connection, for statements that are a transaction each. `'a` is the life of what
/// the work borrows.
pub(super) struct Db<'a> {
    connection: Connection<'a>,
    /// What has to be said before somebody else may have the connection.
    unsaid: Option<&'static str>,
}

enum Connection<'a> {
    /// There until the end.
    Ours(Option<PoolConnection<Postgres>>),
    Theirs(&'a mut PgConnection),
}

impl Db<'_> {
    async fn acquire(pool: &PgPool, last_word: &'static str) -> DbResult<Self> {
        Ok(Self {
            connection: Connection::Ours(Some(pool.acquire().await?)),
            unsaid: Some(last_word),
        })
    }

    #[allow(clippy::expect_used, reason = "only `drop` takes it")]
    pub(super) fn get(&mut self) -> &mut PgConnection {
        match &mut self.connection {
            Connection::Ours(ours) => ours.as_mut().expect("it is there until the end"),
            Connection::Theirs(theirs) => theirs,
        }
    }
}

impl Drop for Db<'_> {
    fn drop(&mut self) {
        let Connection::Ours(connection) = &mut self.connection else {
            return;
        };
        // Given up halfway: by a caller that has gone away, or because it took too long.
        if let (Some(last_word), Some(connection)) = (self.unsaid, connection.take()) {
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(put_right(connection, last_word))),
                // Nobody can wait for the server any more: the connection is closed.
                Err(_) => drop(connection.detach()),
            }
        }
    }
}

/// Brings what is under way on a connection to its end, so that it can be used again: a
/// new one for each caller that goes away would be a heavy load for the server.
async fn put_right(mut connection: PoolConnection<Postgres>, last_word: &'static str) {
    let end = control(&mut connection, last_word);
    if !matches!(tokio::time::timeout(PATIENCE, end).await, Ok(Ok(()))) {
        connection.close_on_drop();
    }
}

/// A transaction.
pub(super) struct Tx<'a> {
    db: Db<'a>,
    /// The present, by the database's clock; the same for the whole transaction.
    pub(super) now: Timestamp,
}

impl<'a> Tx<'a> {
    async fn begin(pool: &PgPool) -> DbResult<Self> {
        let mut db = Db::acquire(pool, "ROLLBACK").await?;
        let sql = "BEGIN; SELECT (extract(epoch FROM now()) * 1000000)::bigint";
        let row = sqlx::raw_sql(sql).fetch_one(db.get()).await?;
        let now = timestamp_from_micros(row.try_get(0)?);
        Ok(Self { db, now })
    }

    /// A part of somebody else's transaction, to be done in a [`savepoint`](Self::savepoint).
    pub(super) async fn within(theirs: &'a mut PgConnection) -> DbResult<Self> {
        let now = sqlx::query("SELECT now()").fetch_one(&mut *theirs).await?;
        let now: time::Time = now.try_get(0)?;
        let connection = Connection::Theirs(theirs);
        let unsaid = None;
        Ok(Self {
            db: Db { connection, unsaid },
            now: now.0,
        })
    }

    async fn end(mut self, sql: &'static str) -> DbResult<()> {
        control(self.db(), sql).await?;
        self.db.unsaid = None;
        Ok(())
    }

    pub(super) fn db(&mut self) -> &mut PgConnection {
        self.db.get()
    }

    /// The present, as stored.
    pub(super) fn now(&self) -> time::Time {
        time::Time(self.now)
    }

    /// The time when `delay` has passed.
    pub(super) fn later(&self, delay: Duration) -> Timestamp {
        system::later(self.now, delay)
    }

    /// Does `work` whole or not at all, and the rest of the transaction either way.
    pub(super) async fn savepoint<T: Send>(
        &mut self,
        work: impl for<'t> FnOnce(&'t mut Tx<'a>) -> Work<'t, T> + Send,
    ) -> DbResult<T> {
        control(self.db(), "SAVEPOINT work").await?;
        let done = work(self).await;
        let end = match done {
            Ok(_) => "RELEASE work",
            Err(_) => "ROLLBACK TO work; RELEASE work",
        };
        control(self.db(), end).await?;
        done
    }
}

/// A statement that begins or ends something.
async fn control(db: &mut PgConnection, sql: &'static str) -> DbResult<()> {
    sqlx::raw_sql(sql).execute(db).await?;
    Ok(())
}

/// Does `work`, each statement of which is a transaction of its own.
pub(super) async fn call<'a, T: Send>(
    pool: &PgPool,
    operation: &'static str,
    work: impl for<'t> Fn(&'t mut Db<'a>) -> Work<'t, T> + Send + Sync,
) -> StoreResult<T> {
    until_done(operation, || call_once(pool, &work)).await
}

async fn call_once<'a, T: Send>(
    pool: &PgPool,
    work: impl for<'t> Fn(&'t mut Db<'a>) -> Work<'t, T> + Send + Sync,
) -> DbResult<T> {
    let mut db = Db::acquire(pool, "SELECT 1").await?;
    let done = work(&mut db).await;
    // A refusal by the server ends its statement, and leaves the connection as it was.
    db.unsaid = None;
    done
}

/// Does `work` in a transaction; returns once that is committed.
pub(super) async fn write<'a, T: Send>(
    pool: &PgPool,
    operation: &'static str,
    work: impl for<'t> Fn(&'t mut Tx<'a>) -> Work<'t, T> + Send + Sync,
) -> StoreResult<T> {
    until_done(operation, || write_once(pool, &work)).await
}

async fn write_once<'a, T: Send>(
    pool: &PgPool,
    work: impl for<'t> Fn(&'t mut Tx<'a>) -> Work<'t, T> + Send + Sync,
) -> DbResult<T> {
    let mut tx = Tx::begin(pool).await?;
    let done = work(&mut tx).await;
    match &done {
        Ok(_) => tx.end("COMMIT").await?,
        Err(_) => {
            // Where that fails too, the connection is closed, which does the same.
            if let Err(error) = tx.end("ROLLBACK").await {
                tracing::debug!(?error, "cannot roll back");
            }
        }
    }
    done
}

async fn until_done<T: Send, F: Future<Output = DbResult<T>> + Send>(
    operation: &'static str,
    once: impl Fn() -> F + Send + Sync,
) -> StoreResult<T> {
    let done = async {
        for tries in 1..=RETRIES {
            match once().await {
                Err(error) if error.is_of_others() => {
                    tracing::debug!(?error, operation, tries, "made again");
                }
                done => return done,
            }
        }
        once().await
    };
    let answered = async {
        let done = tokio::time::timeout(LIMIT, done).await;
        let done = done.unwrap_or_else(|_| {
            Err(DbError::Store(StoreError::Unavailable {
                operation,
                reason: format!("the database gave no answer within {LIMIT:?}"),
            }))
        });
        done.map_err(|error| error.into_store_error(operation))
    };
    timed(operation, answered).await
}
