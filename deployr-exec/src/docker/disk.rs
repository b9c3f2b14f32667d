//! What of a deployr's own could go from this machine's disk: a list first, which changes
//! nothing. Images that a release on the target has, or a container, or that somebody has named
//! for himself, are never on it; volumes neither, as they are the projects' data.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::ImageSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};
use deployr_core::error::{Fault, StepResult};
use deployr_core::value::Slug;
use serde::Serialize;

use super::DockerExecutor;
use super::build::DockerBuilder;
use super::client::Client;
use crate::local::blocking;
use crate::local::build::workspace;

/// How old an image without a name is before it counts as left: one that is being made has
/// none either.
const YOUNG: Duration = Duration::from_secs(60 * 60);

/// What is left on the disk, and nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Leftover {
    /// An image of no release.
    Image {
        /// By which the engine knows it.
        id: String,
        /// What it is called, if anything.
        names: Vec<String>,
    },
    /// What the builds of a project have kept for the next one, which is slower without.
    Cache {
        /// The project's id.
        project: String,
    },
}

/// How much it is, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Left {
    /// What.
    #[serde(flatten)]
    pub what: Leftover,
    /// What it alone has, as far as the engine tells. Layers that several images share are in the
    /// number of none of them: they are free once the last one has gone.
    pub bytes: u64,
    /// When it was made, or was last used; in seconds since 1970.
    pub since: u64,
}

/// What a deployr has on the disk: what could go, and how much is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DiskUse {
    /// All images and caches, also those that stay, without the layers that several images share.
    pub bytes: u64,
    /// What could go, the oldest first.
    pub left: Vec<Left>,
    /// The images that are in it, by which it is seen that they are in another one too.
    #[serde(skip)]
    images: BTreeMap<String, u64>,
}

impl DiskUse {
    /// Both together; an image that both have, once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (id, bytes) in other.images {
            if self.images.insert(id, bytes).is_some() {
                self.bytes = self.bytes.saturating_sub(bytes);
            }
        }
        self.left.extend(other.left);
        self.left
            .sort_by(|a, b| (a.since, &a.what).cmp(&(b.since, &b.what)));
        self.left.dedup_by(|a, b| a.what == b.what);
        self
    }

    /// What has to go, the oldest first, until all is within `budget` bytes; all that can, where
    /// that does not suffice.
    ///
    /// ```
    /// use deployr_exec::docker::DiskUse;
    ///
    /// assert!(DiskUse::default().beyond(0).is_empty());
    /// ```
    #[must_use]
    pub fn beyond(&self, budget: u64) -> Vec<Left> {
        let mut bytes = self.bytes;
        let mut goes = Vec::new();
        for left in &self.left {
            if bytes <= budget {
                break;
            }
            bytes = bytes.saturating_sub(left.bytes);
            goes.push(left.clone());
        }
        goes
    }
}

impl DockerExecutor {
    /// What this target has on the engine. Releases that are on the target, or may be on their
    /// way there, are never among what could go.
    ///
    /// # Errors
    ///
    /// A fault where the engine does not answer, or the folder cannot be read.
    pub async fn disk_use(&self) -> StepResult<DiskUse> {
        let instance = self.instance().await?;
        let repositories = instance.repositories();
        let by_name = [repositories.clone(), format!("{repositories}/*")];
        let lists = [
            HashMap::from([("reference".to_owned(), by_name.to_vec())]),
            instance.filter(None),
        ];
        let mut placed: BTreeMap<Slug, Vec<i64>> = BTreeMap::new();
        let images = images(self.client(), lists).await?;
        for (slug, _) in names(&images).filter_map(|name| instance.image_of(name)) {
            if let Entry::Vacant(unread) = placed.entry(slug) {
                let layout = self.layout(unread.key());
                unread.insert(blocking(move || layout.numbers()).await?);
            }
        }
        let is_left = |name: &str| {
            let Some((slug, number)) = instance.image_of(name) else {
                return false;
            };
            // A number above all may be of a deployment that is placing it.
            let there = placed.get(&slug).map(Vec::as_slice).unwrap_or_default();
            there.last().is_some_and(|newest| number < *newest) && !there.contains(&number)
        };
        sort_out(self.client(), images, is_left).await
    }

    /// Removes what was on the list and still is; gives what has gone. Does no harm beside a
    /// deployr that works.
    ///
    /// # Errors
    ///
    /// As [`disk_use`](Self::disk_use); a fault when something could not be removed.
    pub async fn clean_up(&self, chosen: &[Left]) -> StepResult<Vec<Left>> {
        remove(self.client(), self.disk_use().await?.left, chosen).await
    }
}

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

async fn images<const N: usize>(
    client: &Client,
    lists: [HashMap<String, Vec<String>>; N],
) -> StepResult<Vec<ImageSummary>> {
    let docker = client.docker().await?;
    let mut all = BTreeMap::new();
    for filters in lists {
        let options = ListImagesOptions {
            filters: Some(filters),
            shared_size: true,
            ..ListImagesOptions::default()
        };
        let images = docker.list_images(Some(options)).await;
        let images = client.step("listing images of", "this deployr", images)?;
        all.extend(images.into_iter().map(|image| (image.id.clone(), image)));
    }
    Ok(all.into_values().collect())
}

fn names(images: &[ImageSummary]) -> impl Iterator<Item = &str> {
    let names = images.iter().flat_map(|image| &image.repo_tags);
    names.map(String::as_str).filter(|name| *name != NONE)
}

/// What engines before 23 call an image without a name.
const NONE: &str = "<none>:<none>";

/// Those of which all names say so, or that have none, and no container has.
async fn sort_out(
    client: &Client,
    images: Vec<ImageSummary>,
    is_left: impl Fn(&str) -> bool,
) -> StepResult<DiskUse> {
    let options = ListContainersOptions {
        all: true,
        ..ListContainersOptions::default()
    };
    let containers = client.docker().await?.list_containers(Some(options)).await;
    let containers = client.step("listing", "containers", containers)?;
    let in_use: BTreeSet<String> = containers
        .into_iter()
        .filter_map(|container| container.image_id)
        .collect();
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut all = DiskUse::default();
    for image in images {
        let own = image.size.saturating_sub(image.shared_size.max(0));
        let (bytes, since) = (own.unsigned_abs(), image.created.unsigned_abs());
        all.bytes += bytes;
        all.images.insert(image.id.clone(), bytes);
        let names: Vec<String> = names(std::slice::from_ref(&image))
            .map(str::to_owned)
            .collect();
        let is_old = Duration::from_secs(since) + YOUNG < now;
        let goes = match names.is_empty() {
            true => is_old,
            false => names.iter().all(|name| is_left(name)),
        };
        if goes && !in_use.contains(&image.id) {
            let what = Leftover::Image {
                id: image.id,
                names,
            };
            all.left.push(Left { what, bytes, since });
        }
    }
    Ok(all.and(DiskUse::default()))
}

fn is_chosen(left: &Left, chosen: &[Left]) -> bool {
    chosen.iter().any(|chosen| chosen.what == left.what)
}

/// Removes the images among what was chosen that are still to be had.
async fn remove(client: &Client, left: Vec<Left>, chosen: &[Left]) -> StepResult<Vec<Left>> {
    let is_image = |left: &Left| matches!(left.what, Leftover::Image { .. });
    let gone = left.into_iter();
    let gone: Vec<Left> = gone
        .filter(|left| is_image(left) && is_chosen(left, chosen))
        .collect();
    for left in &gone {
        if let Leftover::Image { id, names } = &left.what {
            for name in names {
                client.remove_image(name).await?;
            }
            if names.is_empty() {
                client.remove_image(id).await?;
            }
        }
    }
    Ok(gone)
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

    fn cache(project: &str, bytes: u64, since: u64) -> Left {
        let what = Leftover::Cache {
            project: project.to_owned(),
        };
        Left { what, bytes, since }
    }

    #[test]
    fn the_oldest_goes_first_until_the_rest_is_within_the_budget() {
        let all = DiskUse {
            bytes: 100,
            left: vec![cache("new", 30, 9)],
            ..DiskUse::default()
        };
        let all = all.and(DiskUse {
            bytes: 50,
            left: vec![cache("old", 20, 1), cache("middle", 10, 5)],
            ..DiskUse::default()
        });
        let beyond = |budget| {
            let goes = all.beyond(budget).into_iter();
            goes.map(|left| left.bytes).collect::<Vec<_>>()
        };
        assert_eq!(beyond(150), [0; 0]);
        assert_eq!(beyond(149), [20]);
        assert_eq!(beyond(130), [20]);
        assert_eq!(beyond(129), [20, 10]);
        assert_eq!(beyond(0), [20, 10, 30]);
    }

    #[test]
    fn an_image_of_a_target_and_of_its_builder_is_counted_once() {
        let of = |ids: &[&str]| DiskUse {
            bytes: 10 * ids.len() as u64,
            left: vec![cache("same", 1, 1)],
            images: ids.iter().map(|id| (id.to_string(), 10)).collect(),
        };
        let all = of(&["a", "b"]).and(of(&["b", "c"])).and(of(&["a"]));
        assert_eq!(all.bytes, 30);
        assert_eq!(all.left.len(), 1);
    }

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
