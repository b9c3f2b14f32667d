//! What says that a release is on the target: a folder as the local executor has it, with
//! the id of the image instead of the files. So the two have the same way to be placed
//! whole, to switch in one step, to know the highest turn and to be removed.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::local::run::layout::Layout;
use crate::local::run::place;

const FILE: &str = "image.json";

/// A release that is placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Placed {
    /// The digest by which the engine knows the image.
    pub(super) image: String,
    /// Whether deployr made it of a folder.
    pub(super) of_folder: bool,
}

/// Places a release whose image is there.
pub(super) fn place(
    layout: &Layout,
    spec: &ReleaseSpec,
    artifact: &Artifact,
    placed: &Placed,
    attempt: i64,
) -> StepResult<()> {
    let made = layout
        .releases()
        .join(format!(".{}.{attempt}.made.tmp", spec.number));
    layout.throw_away(&made)?;
    let write = || {
        DirBuilder::new().mode(0o755).create(&made)?;
        fs::write(made.join(FILE), serde_json::to_vec(placed)?)
    };
    write().map_err(|error| Fault::io("place", made.display(), error))?;
    let mut spec = spec.clone();
    // The container has them.
    (spec.recipe.shared, spec.recipe.writable) = (Vec::new(), Vec::new());
    let artifact = Artifact {
        content: ArtifactContent::Folder(made),
        ..artifact.clone()
    };
    place::place(layout, &spec, &artifact, attempt, &CancellationToken::new())
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
