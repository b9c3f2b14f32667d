//! The reference: rusqlite alone, with the store's durability and its table.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::{BURST, TICK, delays};
use crate::Error;

/// How many lines share a transaction in `throughput`.
const BATCH: usize = 1_000;
const DEPLOYMENT: [u8; 16] = [7; 16];
const INSERT: &str =
    "INSERT INTO log_lines (deployment, seq, at, stream, text) VALUES (?1, ?2, ?3, ?4, ?5)";

/// How long all lines take until the last is durable.
pub(super) fn throughput(lines: &[String]) -> Result<Duration, Error> {
    let folder = tempfile::tempdir()?;
    let db = create(&folder.path().join("bare.db"))?;
    let started = Instant::now();
    for (n, batch) in lines.chunks(BATCH).enumerate() {
        insert(&db, n * BATCH + 1, batch)?;
    }
    Ok(started.elapsed())
}

/// How long each line takes from a writer, which commits a burst at once, to a reader
/// on a connection of its own, which it wakes.
pub(super) fn follow(lines: &[String]) -> Result<Vec<Duration>, Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bare.db");
    let db = create(&path)?;
    let reader = connect(&path)?;
    let (committed, wake) = (Mutex::new(0), Condvar::new());
    thread::scope(|scope| {
        let (committed, wake) = (&committed, &wake);
        let read = scope.spawn(move || read(&reader, lines.len(), committed, wake));
        let mut written = Vec::with_capacity(lines.len());
        let started = Instant::now();
        for (n, burst) in (0..).zip(lines.chunks(BURST)) {
            thread::sleep((started + TICK * n).saturating_duration_since(Instant::now()));
            let first = written.len() + 1;
            written.resize(written.len() + burst.len(), Instant::now());
            let done = insert(&db, first, burst);
            // Also after an error, for which the reader must not wait for ever.
            *committed.lock().unwrap_or_else(PoisonError::into_inner) = match done {
                Ok(()) => written.len(),
                Err(_) => usize::MAX,
            };
            wake.notify_one();
            done?;
        }
        let arrived = read.join().map_err(|_| "the reader panicked")??;
        Ok(delays(&written, &arrived))
    })
}

fn read(
    db: &Connection,
    count: usize,
    committed: &Mutex<usize>,
    wake: &Condvar,
) -> Result<Vec<Instant>, String> {
    let mut select = db
        .prepare("SELECT seq, text FROM log_lines WHERE deployment = ?1 AND seq > ?2 ORDER BY seq")
        .map_err(|error| error.to_string())?;
    let mut arrived = Vec::with_capacity(count);
    while arrived.len() < count {
        let known = committed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = wake
            .wait_while(known, |known| *known == arrived.len())
            .unwrap_or_else(PoisonError::into_inner);
        if *known == usize::MAX {
            return Err("the writer failed".to_owned());
        }
        drop(known);
        let texts = select
            .query_map(params![DEPLOYMENT, arrived.len() as i64], |row| {
                row.get::<_, String>(1)
            })
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| error.to_string())?;
        arrived.resize(arrived.len() + texts.len(), Instant::now());
    }
    Ok(arrived)
}

fn create(path: &Path) -> Result<Connection, Error> {
    let db = connect(path)?;
    db.execute_batch(
        "CREATE TABLE log_lines (
             deployment BLOB    NOT NULL,
             seq        INTEGER NOT NULL,
             at         INTEGER NOT NULL,
             stream     INTEGER NOT NULL,
             text       TEXT    NOT NULL,
             PRIMARY KEY (deployment, seq)
         ) STRICT, WITHOUT ROWID",
    )?;
    Ok(db)
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let db = Connection::open(path)?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    // As ours has them.
    db.pragma_update(None, "cache_size", -32_000)?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    Ok(db)
}

fn insert(db: &Connection, first: usize, lines: &[String]) -> Result<(), Error> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let mut statement = db.prepare_cached(INSERT)?;
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let at = i64::try_from(at)?;
    for (seq, line) in (first as i64..).zip(lines) {
        statement.execute(params![DEPLOYMENT, seq, at, 1, line])?;
    }
    drop(statement);
    db.execute_batch("COMMIT")?;
    Ok(())
}
