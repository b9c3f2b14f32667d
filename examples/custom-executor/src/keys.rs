//! Where things lie in the bucket.

use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Turn;
use deployr_core::value::Slug;
use serde::{Deserialize, Serialize};

/// The content of `<slug>/current`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Current {
    pub(crate) release: Option<i64>,
    pub(crate) turn: Turn,
}

pub(crate) fn current(slug: &Slug) -> String {
    format!("{slug}/current")
}

pub(crate) fn files(slug: &Slug, number: i64) -> String {
    format!("{slug}/releases/{number}")
}

pub(crate) fn mark(slug: &Slug, number: i64) -> String {
    format!("{slug}/placed/{number}")
}

/// The objects of which one must be there for the site to be healthy.
pub(crate) fn pages(spec: &ReleaseSpec) -> Vec<String> {
    let path = spec.recipe.health.path.as_str();
    let path = path.split('?').next().unwrap_or_default().trim_matches('/');
    let below = files(&spec.slug, spec.number);
    match path {
        "" => vec![format!("{below}/index.html")],
        path => vec![
            format!("{below}/{path}"),
            format!("{below}/{path}/index.html"),
        ],
    }
}
