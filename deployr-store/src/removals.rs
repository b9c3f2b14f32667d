//! What both databases say of a removal.

use deployr_core::model::{Project, Removal};
use deployr_core::store::NewRemoval;
use deployr_core::value::TargetName;

use crate::error::{DbResult, conflict};

/// How many deployments go with one call: each takes some rows of other tables along.
pub(crate) const DEPLOYMENTS: u32 = 200;

pub(crate) fn noted(new: &NewRemoval, earlier: Option<&Removal>) -> Removal {
    Removal {
        purge: new.purge,
        forget: new.forget,
        kept: new.kept || earlier.is_some_and(|earlier| earlier.kept),
        targets: new.targets.clone(),
        jobs: new.jobs.iter().map(|job| job.id).collect(),
    }
}

/// As it is without a target that was cleared.
pub(crate) fn without(mut removal: Removal, target: &TargetName) -> Removal {
    if removal.targets.remove(target) {
        removal.kept |= !removal.purge;
    }
    removal
}

/// For the audit log.
pub(crate) fn how(new: &NewRemoval) -> &'static str {
    match (new.forget, new.purge) {
        (true, _) => "forget",
        (false, true) => "purge",
        (false, false) => "",
    }
}

/// Refuses a project that is being removed.
pub(crate) fn must_stay(project: &Project) -> DbResult<()> {
    match project.removal {
        Some(_) => Err(conflict("project", &project.name, "is being removed")),
        None => Ok(()),
    }
}

/// Refuses one that is not.
pub(crate) fn must_go(project: &Project) -> DbResult<Removal> {
    let removal = project.removal.clone();
    removal.ok_or_else(|| conflict("project", &project.name, "is not being removed"))
}

/// Refuses one that has something left on a target.
pub(crate) fn must_be_cleared(project: &Project, removal: &Removal) -> DbResult<()> {
    match removal.targets.is_empty() {
        true => Ok(()),
        false => Err(conflict("project", &project.name, "has targets left")),
    }
}
