//! The one thread that writes. SQLite has one writer at a time, and each commit
//! costs a wait for the disk: calls that wait at the same time share one commit,
//! each in a savepoint of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error;
use crate::error::{DbError, DbResult, Trouble};
use deployr_core::store::{StoreError, StoreResult};
use deployr_core::system::{self, Clock, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

/// The most calls that share a commit.
const BATCH: usize = 128;

/// A transaction that writes.
pub(super) struct Tx<'c> {
    pub(super) db: &'c Connection,
    /// The present, by the store's clock; the same for the whole transaction.
    pub(super) now: Timestamp,
}

impl<'c> Tx<'c> {
    pub(super) fn new(db: &'c Connection, clock: &dyn Clock) -> Self {
        Self {
            db,
            // As precise as what is stored.
            now: system::stored(clock.now()),
        }
    }

    /// The present, as stored.
    pub(super) fn now(&self) -> i64 {
        self.now.timestamp_micros()
    }

    /// The time when `delay` has passed.
    pub(super) fn later(&self, delay: Duration) -> Timestamp {
        system::later(self.now, delay)
    }

    /// Does `work` whole or not at all, and the rest of the transaction either way.
    ///
    /// Some errors make SQLite roll the whole transaction back by itself:
    /// [`is_over`](Self::is_over) tells.
    pub(super) fn savepoint<T>(&self, work: impl FnOnce(&Self) -> DbResult<T>) -> DbResult<T> {
        control(self.db, "SAVEPOINT work")?;
        let done = guarded(|| work(self));
        let end = match done {
            Ok(_) => control(self.db, "RELEASE work"),
            Err(_) => self.db.execute_batch("ROLLBACK TO work; RELEASE work"),
        };
        match (end, done) {
            (Ok(()), done) => done,
            (Err(error), done) => {
                let cause = match done {
                    Err(cause) => cause,
                    Ok(_) if self.is_over() => StoreError::Unavailable {
                        operation: "commit",
                        reason: "the transaction was rolled back".to_owned(),
                    }
                    .into(),
                    Ok(_) => error.into(),
                };
                // Half of the work may still be there: none of the batch may be kept.
                if !self.is_over() {
                    self.db.execute_batch("ROLLBACK")?;
                }
                Err(cause)
            }
        }
    }

    /// Whether the transaction was rolled back under our feet.
    pub(super) fn is_over(&self) -> bool {
        self.db.is_autocommit()
    }
}

/// A statement that begins or ends something.
fn control(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

/// Makes an error of a panic. The caller must undo whatever was left half done.
fn guarded<T>(work: impl FnOnce() -> DbResult<T>) -> DbResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Corrupt {
            what: "what is stored",
            reason: "the store panicked; the panic's own message was printed".to_owned(),
        }
        .into())
    })
}

/// A call on its way through the thread.
trait Call: Send {
    /// Whether nobody waits for the answer any longer.
    fn is_abandoned(&self) -> bool;
    /// Does the work, in a savepoint unless it is `alone` in the transaction. Gives
    /// whether there is something to commit, or what is wrong when the whole transaction
    /// is over.
    fn run(&mut self, tx: &Tx<'_>, alone: bool) -> Result<bool, Trouble>;
    /// Answers, now that the transaction's fate is known.
    fn answer(self: Box<Self>, fate: &Result<(), Trouble>);
}

struct Work<T, F> {
    operation: &'static str,
    work: Option<F>,
    done: Option<DbResult<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T, F> Call for Work<T, F>
where
    T: Send,
    F: FnOnce(&Tx<'_>) -> DbResult<T> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>, alone: bool) -> Result<bool, Trouble> {
        let Some(work) = self.work.take() else {
            return Ok(false);
        };
        let done = if alone {
            guarded(|| work(tx))
        } else {
            tx.savepoint(work)
        };
        let trouble = match &done {
            Err(DbError::Database(trouble)) => trouble.clone(),
            _ => Trouble::Unavailable("the transaction was rolled back".to_owned()),
        };
        let commit = done.is_ok();
        self.done = Some(done);
        if tx.is_over() {
            Err(trouble)
        } else {
            Ok(commit)
        }
    }

    fn answer(self: Box<Self>, fate: &Result<(), Trouble>) {
        let answer = match (fate, self.done) {
            (Ok(()), Some(done)) => done.map_err(|error| error.into_store_error(self.operation)),
            // Even an own error is void: it may come from what others did in this batch.
            (Err(trouble), _) => Err(trouble.clone().into_store_error(self.operation)),
            (Ok(()), None) => Err(stopped(self.operation)),
        };
        // The caller may have gone away. What was committed stays.
        let _ = self.reply.send(answer);
    }
}

/// The sending end of the thread. Dropping it waits until the thread has done what it was
/// sent and has closed the file: a process that ends halfway through the closing leaves a
/// log without its index, which nobody can open where nothing can be written.
pub(super) struct Writer {
    /// None while this is dropped.
    calls: Option<mpsc::Sender<Box<dyn Call>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(db: Connection, clock: Arc<dyn Clock>) -> StoreResult<Self> {
        let (sender, calls) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("deployr-store".to_owned())
            .spawn(move || serve(&db, clock.as_ref(), &calls))
            .map_err(|error| StoreError::Unavailable {
                operation: "open",
                reason: format!("no thread to write with: {error}"),
            })?;
        Ok(Self {
            calls: Some(sender),
            thread: Some(thread),
        })
    }

    /// Does `work` in a transaction; returns once that is committed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Tx<'_>) -> DbResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let (reply, answer) = oneshot::channel();
        let call = Box::new(Work {
            operation,
            work: Some(work),
            done: None,
            reply,
        });
        match &self.calls {
            Some(calls) => calls.send(call).map_err(|_| stopped(operation))?,
            None => return Err(stopped(operation)),
        }
        answer.await.map_err(|_| stopped(operation))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take()
            // What a call holds may be the last that holds this: it cannot wait for itself.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

fn stopped(operation: &'static str) -> StoreError {
    StoreError::Unavailable {
        operation,
        reason: "the store's writer has stopped".to_owned(),
    }
}

fn serve(db: &Connection, clock: &dyn Clock, calls: &mpsc::Receiver<Box<dyn Call>>) {
    while let Ok(first) = calls.recv() {
        let waiting = calls.try_iter().take(BATCH - 1);
        let mut batch: Vec<_> = std::iter::once(first)
            .chain(waiting)
            .filter(|call| !call.is_abandoned())
            .collect();
        let fate = transact(db, clock, &mut batch);
        for call in batch {
            call.answer(&fate);
        }
    }
}

fn transact(
    db: &Connection,
    clock: &dyn Clock,
    batch: &mut [Box<dyn Call>],
) -> Result<(), Trouble> {
    let control = |sql| control(db, sql).map_err(|error| error::trouble(&error));
    // IMMEDIATE: waits for other processes here and not halfway through.
    control("BEGIN IMMEDIATE")?;
    let tx = Tx::new(db, clock);
    let alone = batch.len() == 1;
    let done = batch
        .iter_mut()
        .try_fold(false, |commit, call| Ok(call.run(&tx, alone)? || commit));
    let done = match done {
        Ok(true) => control("COMMIT"),
        Ok(false) => control("ROLLBACK"),
        Err(trouble) => Err(trouble),
    };
    if done.is_err()
        && !tx.is_over()
        && let Err(error) = db.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "cannot roll back");
    }
    done
}
