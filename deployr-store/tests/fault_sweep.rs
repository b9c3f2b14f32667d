//! A fault at any call leaves an engine that goes on: over SQLite, a file for each run and
//! a store for each process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::model::JobId;
use deployr_core::store::Store;
use deployr_core::testing::ManualClock;
use deployr_core::testing::sweep::{Disk, Sweep};
use deployr_store::{Options, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// A folder with a database.
struct SqliteDisk(TempDir);

impl SqliteDisk {
    /// In memory where there is such a place: a run asks which transactions are there after
    /// a crash, not whether the disk keeps what it has synced, and with some fifty commits a
    /// run the syncs would take most of the time. The server's `kill` test has a real disk.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self(folder.unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("deployr.db")
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("deployr.db-wal")
    }
}

#[async_trait]
impl Disk for SqliteDisk {
    /// A process that is dead keeps its connections here. That makes no difference: what it
    /// had not committed is not in the file, and nobody calls it any more.
    async fn open(&self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let options = Options { clock, readers: 2 };
        let store = SqliteStore::open_with(self.file(), options).await;
        Arc::new(store.unwrap())
    }

    /// As SIGKILL leaves the files: with all that was committed still in the log, which
    /// whoever opens the copy must recover, and nothing in it that was not.
    async fn copy(&self) -> Arc<dyn Disk> {
        let copy = Self::new();
        if self.file().exists() {
            // While this one is open nobody empties the log, and nobody commits.
            let hold = Connection::open(self.file()).unwrap();
            hold.busy_timeout(Duration::from_secs(30)).unwrap();
            hold.execute_batch("BEGIN IMMEDIATE").unwrap();
            fs::copy(self.file(), copy.file()).unwrap();
            if self.log().exists() {
                fs::copy(self.log(), copy.log()).unwrap();
            }
        }
        Arc::new(copy)
    }

    async fn poison(&self, job: JobId) {
        let db = Connection::open(self.file()).unwrap();
        db.busy_timeout(Duration::from_secs(30)).unwrap();
        let sql = "UPDATE jobs SET input = '{', state = 'running', fence = 1, attempt = 1,
                   worker = ?1, lease_until = 0 WHERE id = ?1";
        assert_eq!(db.execute(sql, [job.as_uuid()]).unwrap(), 1);
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

fn sweep() -> Sweep {
    Sweep::new(runtime, || Arc::new(SqliteDisk::new()))
}

#[test]
fn a_fault_at_any_call_leaves_an_engine_that_goes_on() {
    sweep().one_of(16).every_call();
}

#[test]
fn two_faults_at_random_leave_an_engine_that_goes_on() {
    sweep().soak(30);
}
