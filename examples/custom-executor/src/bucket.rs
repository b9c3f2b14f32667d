//! A bucket as object storage has it: objects by key, each written whole or not at all,
//! and nothing that spans two of them. This one is a folder; for S3 only this file
//! would be another.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;

/// Objects by key. Keys are relative paths with `/`.
#[derive(Debug, Clone)]
pub struct Bucket {
    root: PathBuf,
}

impl Bucket {
    /// The bucket in that folder, which is made when the first object is put.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where an object, or a group of them, lies.
    #[must_use]
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    pub(crate) async fn put(&self, key: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await?;
        }
        let mut fresh = path.clone().into_os_string();
        fresh.push(".new");
        fs::write(&fresh, content).await?;
        fs::File::open(&fresh).await?.sync_all().await?;
        fs::rename(&fresh, &path).await
    }

    /// None where there is no such object.
    pub(crate) async fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        absent_is_none(fs::read(self.path(key)).await)
    }

    pub(crate) async fn has(&self, key: &str) -> bool {
        fs::metadata(self.path(key))
            .await
            .is_ok_and(|found| found.is_file())
    }

    /// Removes an object; one that is gone is no error.
    pub(crate) async fn delete(&self, key: &str) -> io::Result<()> {
        absent_is_none(fs::remove_file(self.path(key)).await).map(drop)
    }

    /// Removes all objects whose keys begin with `group` and a slash.
    pub(crate) async fn delete_all(&self, group: &str) -> io::Result<()> {
        absent_is_none(fs::remove_dir_all(self.path(group)).await).map(drop)
    }

    /// The names directly below `group`.
    pub(crate) async fn names(&self, group: &str) -> io::Result<Vec<String>> {
        let Some(mut entries) = absent_is_none(fs::read_dir(self.path(group)).await)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All files below `folder`, relative to it. A link to a file counts as the file.
pub(crate) async fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(at) = folders.pop() {
        let mut entries = fs::read_dir(folder.join(&at)).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = at.join(entry.file_name());
            if entry.file_type().await?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}
