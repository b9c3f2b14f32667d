//! What executors have in common that place releases on other machines.

use std::path::Path;

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::RelPath;
use serde_json::json;

/// What one look at a host has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The host, as `user@name:port`.
    pub host: String,
    /// What was looked at: `connection`, `root`, `free space`, …
    pub what: &'static str,
    /// How it is.
    pub found: String,
    /// What to do about it; none where it is well.
    pub help: Option<String>,
    /// Whether nothing can be deployed there as it is.
    pub blocks: bool,
}

/// Makes the findings of one host.
pub(crate) struct Report(pub(crate) String);

impl Report {
    pub(crate) fn good(&self, what: &'static str, found: &str) -> Finding {
        Finding {
            host: self.0.clone(),
            what,
            found: found.to_owned(),
            help: None,
            blocks: false,
        }
    }

    pub(crate) fn lacking(&self, what: &'static str, found: &str, help: &str) -> Finding {
        Finding {
            help: Some(help.to_owned()),
            ..self.good(what, found)
        }
    }

    pub(crate) fn bad(&self, what: &'static str, found: &str, help: &str) -> Finding {
        Finding {
            blocks: true,
            ..self.lacking(what, found, help)
        }
    }
}

/// How far apart the clocks of two machines may be, in seconds.
pub(crate) const APART: i64 = 30;

pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

/// The file that tells what lies in a release's folder. Without blanks, so that `grep`
/// finds the release in it.
pub(crate) fn marker(spec: &ReleaseSpec, artifact: &Artifact) -> serde_json::Value {
    json!({
        "release": spec.release,
        "number": spec.number,
        "commit": spec.commit,
        "digest": artifact.digest,
    })
}

/// The folder that the build made, for an executor that runs nothing else.
pub(crate) fn folder_of<'a>(executor: &str, artifact: &'a Artifact) -> StepResult<&'a Path> {
    match &artifact.content {
        ArtifactContent::Folder(path) if path.is_dir() => Ok(path),
        ArtifactContent::Folder(path) => {
            let reason = "the artifact is no longer there, and the release is not either; it \
                          has to be built again";
            Err(Fault::retryable("place", path.display(), reason).into())
        }
        _ => Err(StepError::verdict(
            VerdictCode::Unsupported,
            format!(
                "the {executor} executor runs folders, and the build made a container image; \
                 choose a target that runs containers, or a build that makes a folder"
            ),
        )),
    }
}

/// The shared paths that do not lie in another one: those come with it.
pub(crate) fn shared(spec: &ReleaseSpec) -> StepResult<Vec<&RelPath>> {
    let paths = &spec.recipe.shared;
    if paths.iter().any(|path| path.as_str() == ".") {
        let reason = "the whole release cannot be shared; name folders in it under `shared`";
        return Err(Fault::permanent("share", &spec.slug, reason).into());
    }
    let outermost = |path: &&RelPath| {
        !paths
            .iter()
            .any(|other| other != *path && path.as_path().starts_with(other.as_path()))
    };
    Ok(paths.iter().filter(outermost).collect())
}
