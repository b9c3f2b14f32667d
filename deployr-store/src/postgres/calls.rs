//! Calls on connections: within a time, in a transaction where there is more than one
//! statement, and made again where Postgres has given one up for the sake of others.

use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use deployr_core::store::{StoreError, StoreResult};
use deployr_core::system::{Timestamp, timestamp_from_micros};
use sqlx::Row;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, Postgres};

use super::error::{DbError, DbResult};
use super::time;

/// What a call may take, a wait for a connection included: longer than all that the
/// server limits by itself, for the server that does not answer at all.
const LIMIT: Duration = Duration::from_secs(20);

/// How often a call is made again that stood in the way of another's.
const RETRIES: u32 = 5;

/// The work of one call, in the making.
pub(super) type Work<'t, T> = Pin<Box<dyn Future<Output = DbResult<T>> + Send + 't>>;

/// A connection, for statements that are a transaction each. `'a` is the life of what
/// the work borrows.
pub(super) struct Db<'a> {
    connection: PoolConnection<Postgres>,
    /// Nothing is under way: it may go back into the pool.
    clean: bool,
    borrows: PhantomData<&'a ()>,
}

impl Db<'_> {
    async fn acquire(pool: &PgPool) -> DbResult<Self> {
        Ok(Self {
            connection: pool.acquire().await?,
            clean: false,
            borrows: PhantomData,
        })
    }

    pub(super) fn get(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Db<'_> {
    fn drop(&mut self) {
        // Given up halfway: nobody knows what it would answer to the next.
        if !self.clean {
            self.connection.close_on_drop();
        }
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
        let mut db = Db::acquire(pool).await?;
        let sql = "BEGIN; SELECT (extract(epoch FROM now()) * 1000000)::bigint";
        let row = sqlx::raw_sql(sql).fetch_one(db.get()).await?;
        let now = timestamp_from_micros(row.try_get(0)?);
        Ok(Self { db, now })
    }

    async fn end(mut self, sql: &'static str) -> DbResult<()> {
        control(self.db(), sql).await?;
        self.db.clean = true;
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
        time::later(self.now, delay)
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
    let mut db = Db::acquire(pool).await?;
    let done = work(&mut db).await;
    // A refusal by the server ends its statement, and leaves the connection as it was.
    db.clean = true;
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
    let done = tokio::time::timeout(LIMIT, done).await;
    let done = done.unwrap_or_else(|_| {
        Err(DbError::Store(StoreError::Unavailable {
            operation,
            reason: format!("the database gave no answer within {LIMIT:?}"),
        }))
    });
    done.map_err(|error| error.into_store_error(operation))
}
