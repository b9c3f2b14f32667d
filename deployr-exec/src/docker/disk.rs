//! What of a deployr's own could go from this machine's disk: a list first, which changes
//! nothing. Images that a release on the target has, or a container, or that somebody has named
//! for himself, are never on it; volumes neither, as they are the projects' data.

mod caches;
mod images;

use std::collections::BTreeMap;

use serde::Serialize;

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

fn is_chosen(left: &Left, chosen: &[Left]) -> bool {
    chosen.iter().any(|chosen| chosen.what == left.what)
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
}
