//! Opening the file, and bringing its tables up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{DbError, DbResult};
use deployr_core::store::{StoreError, StoreResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

/// How long to wait for other processes. Whoever commits holds the others up for as long as
/// the disk takes, which is some seconds where it is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);

const STEPS: &[M<'_>] = &[
    M::up(include_str!("../../migrations/sqlite/0001_initial.sql")),
    M::up(include_str!("../../migrations/sqlite/0002_domains.sql")),
    M::up(include_str!("../../migrations/sqlite/0003_line_ends.sql")),
    M::up(include_str!("../../migrations/sqlite/0004_removals.sql")),
    M::up(include_str!("../../migrations/sqlite/0005_start_again.sql")),
    M::up(include_str!(
        "../../migrations/sqlite/0006_ended_lately.sql"
    )),
];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

/// Opens the file for writing, with all tables in their newest form.
pub(super) fn writer(path: &Path) -> StoreResult<Connection> {
    create_file(path).map_err(|error| StoreError::Unavailable {
        operation: "open",
        reason: format!("{}: {error}", path.display()),
    })?;
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|db| set_up(&db).map(|()| db))
        .map_err(|error| explain(path, error))?;
    migrate(&mut db).map_err(|error| explain(path, error))?;
    Ok(db)
}

/// How readers come to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Beside writers, by way of the files that SQLite keeps for that.
    Shared,
    /// Without them: nobody writes.
    Alone,
}

/// How the file can be read where nothing can be written.
pub(super) fn access(path: &Path) -> Access {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    match Path::new(&wal).exists() {
        true => Access::Shared,
        false => Access::Alone,
    }
}

/// Opens the file for reading. It must be there already.
pub(super) fn reader(path: &Path, access: Access) -> DbResult<Connection> {
    let mode = OpenFlags::SQLITE_OPEN_READ_ONLY;
    match access {
        Access::Shared => connect(path, mode),
        Access::Alone => connect(&immutable(path), mode | OpenFlags::SQLITE_OPEN_URI),
    }
}

/// Whether the file can be read, and has tables that this version knows.
pub(super) fn check(path: &Path, access: Access) -> StoreResult<()> {
    let check = || {
        let found = version(&reader(path, access)?)?;
        let newest = newest();
        match found == newest {
            true => Ok(()),
            false if found > newest => Err(too_new(found, newest).into()),
            false => Err(StoreError::Unavailable {
                operation: "open",
                reason: "its tables are those of an older version, and cannot be brought up to \
                         date where nothing can be written"
                    .to_owned(),
            }
            .into()),
        }
    };
    check().map_err(|error| explain(path, error))
}

/// The path as a URI by which SQLite takes the file as it is, with each byte that could
/// mean something else written as a number.
fn immutable(path: &Path) -> PathBuf {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    uri.into()
}

fn connect(path: &Path, mode: OpenFlags) -> DbResult<Connection> {
    // Without SQLITE_OPEN_URI a path is a path, whatever characters it has.
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

/// The file holds sealed secrets and logs: nobody else may read it. SQLite gives its
/// helper files the same mode.
fn create_file(path: &Path) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    let mut file = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        folder.recursive(true).create(parent)?;
    }
    file.append(true).create(true).open(path).map(drop)
}

fn set_up(db: &Connection) -> DbResult<()> {
    // The first statement that reads the file: fails where it is no database.
    version(db)?;
    // SQLite does not wait for others while it changes the journal's mode.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))
        {
            Ok(mode) if mode == "wal" => break,
            Ok(mode) => {
                return Err(StoreError::Unavailable {
                    operation: "open",
                    reason: format!("this place cannot hold a database in WAL mode (but {mode})"),
                }
                .into());
            }
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
        }
    }
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // Pages of the queue that is worked on, and of the logs that are written: with the
    // 2 MB that SQLite takes else, a queue of 50,000 jobs was read again from the disk's
    // cache for each batch, at half the speed. In KiB.
    db.pragma_update(None, "cache_size", -32_000)?;
    // A row that is written twice between two checkpoints goes into the file once. In
    // pages of 4 KiB.
    db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    // What a savepoint may have to undo. In a file, each larger batch would make one.
    db.pragma_update(None, "temp_store", "memory")?;
    Ok(())
}

fn migrate(db: &mut Connection) -> DbResult<()> {
    db.set_transaction_behavior(TransactionBehavior::Immediate);
    let newest = newest();
    loop {
        let before = version(db)?;
        if before > newest {
            return Err(too_new(before, newest).into());
        }
        match MIGRATIONS.to_latest(db) {
            Ok(()) => return Ok(()),
            // Another process was faster with this step: look again.
            Err(_) if version(db)? > before => {}
            Err(rusqlite_migration::Error::RusqliteError { err, .. }) => return Err(err.into()),
            Err(error) => {
                return Err(StoreError::Corrupt {
                    what: "the database",
                    reason: error.to_string(),
                }
                .into());
            }
        }
    }
}

fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

fn too_new(found: i64, newest: i64) -> StoreError {
    StoreError::Corrupt {
        what: "the database",
        reason: format!(
            "its tables have version {found}, and this program knows {newest} at most: use a \
             newer deployr, or another file"
        ),
    }
}

fn version(db: &Connection) -> DbResult<i64> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Adds the path, which SQLite leaves out.
fn explain(path: &Path, error: DbError) -> StoreError {
    let path = path.display();
    match error.into_store_error("open") {
        StoreError::Corrupt { what, reason } => StoreError::Corrupt {
            what,
            reason: format!("{path}: {reason}"),
        },
        StoreError::Unavailable { operation, reason } => StoreError::Unavailable {
            operation,
            reason: format!("{path}: {reason}"),
        },
        other => other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file as version `step` left it, with one job in line.
    pub(in crate::sqlite) fn older_file(path: &Path, step: usize, job: uuid::Uuid) {
        let mut db = Connection::open(path).unwrap();
        MIGRATIONS.to_version(&mut db, step).unwrap();
        db.execute(
            "INSERT INTO lanes (id, kind, needs) VALUES (1, 'work', '')",
            [],
        )
        .unwrap();
        db.execute(
            "INSERT INTO jobs (id, tenant, lane, input, priority, rank, state, run_at, attempt,
                               max_attempts, fence, start_by, created_at)
             VALUES (?1, 'acme', 1, '{}', 0, 7, 'queued', 0, 0, 1, 0, ?2, 0)",
            (job, i64::MAX / 2),
        )
        .unwrap();
    }
}
