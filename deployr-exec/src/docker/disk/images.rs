//! Images of no release, and what all of them take.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use bollard::models::ImageSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};
use deployr_core::error::StepResult;
use deployr_core::value::Slug;

use super::super::DockerExecutor;
use super::super::client::Client;
use super::{DiskUse, Left, Leftover, is_chosen};
use crate::local::blocking;

/// How old an image without a name is before it counts as left: one that is being made has
/// none either.
const YOUNG: Duration = Duration::from_secs(60 * 60);

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

pub(super) async fn images<const N: usize>(
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
pub(super) async fn sort_out(
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

/// Removes the images among what was chosen that are still to be had.
pub(super) async fn remove(
    client: &Client,
    left: Vec<Left>,
    chosen: &[Left],
) -> StepResult<Vec<Left>> {
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
