use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::JobId;
use crate::value::TargetName;

/// How far the removal of a project has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Whether what the app itself has written goes, too: shared folders, volumes.
    pub purge: bool,
    /// Whether targets are left as they are, and only the project's rows go.
    pub forget: bool,
    /// Whether something of the project is left on a target that it was taken from, so that
    /// its slug goes to no other tenant.
    #[serde(default)]
    pub kept: bool,
    /// The targets that it still has to be taken from.
    pub targets: BTreeSet<TargetName>,
    /// What does so, of the last time that it was asked for: one for each target.
    pub jobs: Vec<JobId>,
}
