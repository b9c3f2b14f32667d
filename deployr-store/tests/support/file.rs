//! Stores in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deployr_core::store::Store;
use deployr_core::testing::ManualClock;
use deployr_store::{Options, SqliteStore};
use tempfile::TempDir;

use crate::support::{Made, job_id};

pub(crate) fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("deployr.db")
}

pub(crate) async fn open(path: &Path, clock: &Arc<ManualClock>) -> SqliteStore {
    let options = Options {
        clock: clock.clone(),
        readers: 4,
    };
    SqliteStore::open_with(path, options).await.unwrap()
}

/// A connection behind the store's back.
pub(crate) fn raw(path: &Path) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db
}

/// A fresh store for each check, in one folder.
pub(crate) fn fresh(folder: &TempDir) -> impl Fn(Arc<ManualClock>) -> Made + use<> {
    let root = folder.path().to_owned();
    move |clock| {
        let path = root.join(format!("{}.db", job_id()));
        Box::pin(async move { Arc::new(open(&path, &clock).await) as Arc<dyn Store> })
    }
}
