//! What builds have kept for the next ones of their projects.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use deployr_core::error::{Fault, StepResult};

use super::super::build::DockerBuilder;
use super::images::{images, remove, sort_out};
use super::{DiskUse, Left, Leftover, is_chosen};
use crate::local::blocking;
use crate::local::build::workspace;

impl DockerBuilder {
    /// What its builds have left on the engine and in its folder. Nothing of it could go while
    /// a build has a workspace here, nor are caches counted then.
    ///
    /// # Errors
    ///
    /// A fault where the engine does not answer, or the folder cannot be read.
    pub async fn disk_use(&self) -> StepResult<DiskUse> {
        let instance = self.instance().await?;
        // What is on this list is of builds that have begun: whoever begins later is none of it.
        let images = images(self.client(), [instance.filter(None)]).await?;
        let root = self.root().to_owned();
        let (working, caches) = blocking(move || {
            let read = |error| Fault::io("looking through", root.display(), error);
            match is_any(&root.join("work")).map_err(read)? {
                // They change under whoever looks, and may be large.
                true => Ok((true, Vec::new())),
                false => Ok((false, caches(&root).map_err(read)?)),
            }
        })
        .await?;
        let is_left = |name: &str| !working && instance.is_built_image(name);
        let mut all = sort_out(self.client(), images, is_left).await?;
        if working {
            all.left.clear();
        }
        all.bytes += caches.iter().map(|cache| cache.bytes).sum::<u64>();
        all.left.extend(caches);
        Ok(all.and(DiskUse::default()))
    }

    /// Removes what was on the list and still is; gives what has gone. A cache that a build uses
    /// meanwhile stays.
    ///
    /// # Errors
    ///
    /// As [`disk_use`](Self::disk_use); a fault when something could not be removed, after all
    /// caches that could.
    pub async fn clean_up(&self, chosen: &[Left]) -> StepResult<Vec<Left>> {
        let left = self.disk_use().await?.left;
        let (mut gone, mut failed) = (Vec::new(), Ok(()));
        for left in left.iter().filter(|left| is_chosen(left, chosen)) {
            let Leftover::Cache { project } = &left.what else {
                continue;
            };
            let (root, project) = (self.root().to_owned(), project.clone());
            match blocking(move || Ok(workspace::remove_cache(&root, &project)?)).await {
                Ok(true) => gone.push(left.clone()),
                Ok(false) => {}
                // One project's does not keep those of the others.
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        gone.extend(remove(self.client(), left, chosen).await?);
        gone.sort_by(|a, b| (a.since, &a.what).cmp(&(b.since, &b.what)));
        failed.map(|()| gone)
    }
}

fn is_any(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        entries => Ok(entries?.next().is_some()),
    }
}

fn caches(root: &Path) -> io::Result<Vec<Left>> {
    let entries = match fs::read_dir(root.join("cache")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        let Ok(project) = entry.file_name().into_string() else {
            continue;
        };
        let (bytes, newest) = size(entry.path());
        let since = newest
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let what = Leftover::Cache { project };
        all.push(Left { what, bytes, since });
    }
    Ok(all)
}

/// How much a folder takes with all that is in it, and when that was last changed. Builds write
/// there what they like: what cannot be looked at counts nothing, as what is gone meanwhile.
fn size(path: PathBuf) -> (u64, SystemTime) {
    let (mut bytes, mut newest) = (0, UNIX_EPOCH);
    // No deeper than this itself, however deep the folders are.
    let mut unseen = vec![path];
    while let Some(path) = unseen.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        bytes += meta.blocks() * 512;
        newest = newest.max(meta.modified().unwrap_or(UNIX_EPOCH));
        if meta.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            unseen.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    (bytes, newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_counts_nothing_and_keeps_nobody() {
        let root = tempfile::tempdir().unwrap();
        let (odd, other) = (root.path().join("cache/odd"), root.path().join("other"));
        // Longer than a path may be, once the one is in the other.
        let deep = |top: &Path| (0..14).fold(top.to_owned(), |path, _| path.join("d".repeat(200)));
        fs::create_dir_all(deep(&odd)).unwrap();
        fs::create_dir_all(deep(&other)).unwrap();
        fs::rename(other, deep(&odd).join("more")).unwrap();
        fs::create_dir_all(root.path().join("cache/plain")).unwrap();
        fs::write(root.path().join("cache/plain/file"), "x").unwrap();
        let mut all = caches(root.path()).unwrap();
        all.sort_by(|a, b| a.what.cmp(&b.what));
        assert!(matches!(&all[1].what, Leftover::Cache { project } if project == "plain"));
        assert!(all[1].bytes > 0 && all[1].since > 0);
        assert!(workspace::remove_cache(root.path(), "odd").unwrap());
    }
}
