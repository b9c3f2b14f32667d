//! The file that tells what lies in a release's folder.

use deployr_core::builder::Artifact;
use deployr_core::executor::ReleaseSpec;
use serde_json::json;

/// Without blanks, so that `grep` finds the release in it.
pub(super) fn text(spec: &ReleaseSpec, artifact: &Artifact) -> String {
    json!({
        "release": spec.release,
        "number": spec.number,
        "commit": spec.commit,
        "digest": artifact.digest,
    })
    .to_string()
}
