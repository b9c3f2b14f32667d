//! What has been migrated last: kept beside the releases of a project, so that another
//! attempt of the deployment does not do so again.

use std::path::PathBuf;

use deployr_core::context::StepContext;
use deployr_core::error::StepResult;
use deployr_core::executor::ReleaseSpec;

use super::blocking;
use super::layout::{Layout, write_file};

pub(crate) struct Migrated {
    file: PathBuf,
    /// The deployment and its commit. Another attempt may have another one, where its
    /// branch has moved meanwhile.
    of: String,
}

impl Migrated {
    pub(crate) fn new(layout: &Layout, spec: &ReleaseSpec, ctx: &StepContext) -> Self {
        Self {
            file: layout.base.join("migrated"),
            of: format!("{} {}", ctx.deployment, spec.commit),
        }
    }

    pub(crate) async fn is_noted(&self) -> StepResult<bool> {
        let (file, of) = (self.file.clone(), self.of.clone());
        blocking(move || Ok(std::fs::read_to_string(file).is_ok_and(|noted| noted == of))).await
    }

    pub(crate) async fn note(&self) -> StepResult<()> {
        let (file, of) = (self.file.clone(), self.of.clone());
        blocking(move || write_file(&file, of.as_bytes())).await
    }
}
