//! What says that a release is on the target: its checkout, with the ids of its images in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::RelPath;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::rules;
use crate::local::run::layout::{Layout, remove_all};
use crate::local::run::place;

const FILE: &str = ".deployr-compose.json";

/// The names under which a compose file is looked for, the best first.
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// A release that is placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Placed {
    /// The digests by which the engine knows the images of the services.
    pub(super) images: BTreeMap<String, String>,
}

/// The folder that the build made.
pub(super) fn folder(artifact: &Artifact) -> StepResult<PathBuf> {
    match &artifact.content {
        ArtifactContent::Folder(folder) => Ok(folder.clone()),
        _ => Err(StepError::verdict(
            VerdictCode::Unsupported,
            "a compose file is run from its folder, and the build made an image; use a target \
             that runs images",
        )),
    }
}

/// The compose file of a checkout, which may be run as far as its text shows.
pub(super) fn file(folder: &Path, wanted: Option<&RelPath>) -> StepResult<PathBuf> {
    let path = match wanted {
        Some(path) => folder.join(path.as_path()),
        None => {
            let all = NAMES.iter().map(|name| folder.join(name));
            let mut there = all.filter(|path| fs::symlink_metadata(path).is_ok());
            there.next().ok_or_else(|| {
                let names = NAMES.join(", ");
                let message = format!("the checkout has no compose file ({names})");
                StepError::verdict(VerdictCode::ConfigInvalid, message)
            })?
        }
    };
    let shown = path.strip_prefix(folder).unwrap_or(&path).display();
    let refuse = |reason: &dyn std::fmt::Display| {
        let message = format!("the compose file `{shown}` cannot be read: {reason}");
        StepError::verdict(VerdictCode::ConfigInvalid, message)
    };
    if !rules::is_file_of(folder, &path) {
        return Err(refuse(&"it is not a file of the checkout"));
    }
    let text = fs::read_to_string(&path).map_err(|error| refuse(&error))?;
    let base = path.parent().unwrap_or(folder);
    rules::check_text(&text, base)?;
    Ok(path)
}

/// Places a release whose images are there.
pub(super) fn place(
    layout: &Layout,
    spec: &ReleaseSpec,
    artifact: &Artifact,
    placed: &Placed,
    attempt: i64,
    cancel: &CancellationToken,
) -> StepResult<()> {
    let path = folder(artifact)?.join(FILE);
    // It could be a link that somebody has committed.
    remove_all(&path)?;
    let write = || fs::write(&path, serde_json::to_vec(placed)?);
    write().map_err(|error| Fault::io("write", path.display(), error))?;
    let mut spec = spec.clone();
    // The volumes of the file are what releases share.
    (spec.recipe.shared, spec.recipe.writable) = (Vec::new(), Vec::new());
    place::place(layout, &spec, artifact, attempt, cancel)
}

/// What was placed.
pub(super) fn placed(layout: &Layout, spec: &ReleaseSpec) -> StepResult<Placed> {
    place::check(layout, spec.number, spec.release)?;
    let path = layout.release(spec.number).join(FILE);
    let text = fs::read(&path).map_err(|error| Fault::io("read", path.display(), error))?;
    serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{} cannot be read ({error}); deploy again", path.display());
        StepError::verdict(VerdictCode::ReleaseGone, message)
    })
}
