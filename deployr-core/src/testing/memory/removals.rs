use async_trait::async_trait;

use super::MemoryStore;
use super::state::{DeploymentRow, State, conflict};
use crate::model::{Actor, AuditAction, Claim, Project, ProjectId, ReleaseState, Removal};
use crate::store::{NewRemoval, Removals, StoreError, StoreResult};
use crate::value::TargetName;

#[async_trait]
impl Removals for MemoryStore {
    async fn begin_removal(
        &self,
        actor: &Actor,
        id: ProjectId,
        removal: NewRemoval,
    ) -> StoreResult<Project> {
        self.write(|state| {
            let mut project = state.project(&actor.tenant, id)?.clone();
            let kept = project.removal.is_some_and(|earlier| earlier.kept);
            project.removal = Some(Removal {
                purge: removal.purge,
                forget: removal.forget,
                kept: removal.kept || kept,
                targets: removal.targets,
                jobs: removal.jobs.iter().map(|job| job.id).collect(),
            });
            state.projects.insert(id, project.clone());
            for job in removal.jobs {
                state.add_job(&actor.tenant, job, None)?;
            }
            let action = AuditAction::RemovalRequested;
            let detail = how(removal.purge, removal.forget);
            state.audit(&actor.tenant, &actor.name, action, id, None, detail);
            Ok(project)
        })
    }

    async fn target_cleared(
        &self,
        claim: &Claim,
        id: ProjectId,
        target: &TargetName,
    ) -> StoreResult<Project> {
        self.write(|state| {
            let (mut project, mut removal) = state.being_removed(claim, id)?;
            if removal.targets.remove(target) {
                removal.kept |= !removal.purge;
            }
            project.removal = Some(removal);
            state.projects.insert(id, project.clone());
            for row in state.releases.values_mut() {
                if row.release.project == id && row.release.target == *target {
                    row.release.state = ReleaseState::Gone;
                }
            }
            Ok(project)
        })
    }

    async fn delete_project(&self, claim: &Claim, id: ProjectId, _: u32) -> StoreResult<bool> {
        self.write(|state| {
            let (project, removal) = match state.being_removed(claim, id) {
                Err(StoreError::NotFound { .. }) => return Ok(true),
                found => found?,
            };
            if !removal.targets.is_empty() {
                return Err(conflict("project", &project.name, "has targets left"));
            }
            let of_it = |row: &&DeploymentRow| row.deployment.project == id;
            let mut open = state.deployments.values().filter(of_it);
            if !removal.forget && open.any(|row| !row.deployment.status.is_final()) {
                let rule = "has a deployment that is not over";
                return Err(conflict("project", &project.name, rule));
            }
            let gone: Vec<_> = state.deployments.values().filter(of_it).collect();
            let gone: Vec<_> = gone.iter().map(|row| row.deployment.id).collect();
            for deployment in gone {
                state.logs.remove(&deployment);
                state.deployments.remove(&deployment);
                for row in state.jobs.values_mut() {
                    row.deployment = row.deployment.filter(|of| *of != deployment);
                }
            }
            state.releases.retain(|_, row| row.release.project != id);
            state.domains.retain(|(of, _), _| *of != id);
            state.env.retain(|(of, _), _| *of != id);
            state.projects.remove(&id);
            if removal.forget || removal.kept {
                let heir = (!removal.forget).then(|| project.tenant.clone());
                state.left_behind.insert(project.slug.clone(), heir);
            }
            let (action, name) = (AuditAction::ProjectRemoved, project.name.as_str());
            state.audit(&project.tenant, "deployr", action, id, None, name);
            Ok(true)
        })
    }
}

impl State {
    fn being_removed(&self, claim: &Claim, id: ProjectId) -> StoreResult<(Project, Removal)> {
        let tenant = &self.held(claim)?.job.tenant;
        let project = self.project(tenant, id)?.clone();
        match project.removal.clone() {
            Some(removal) => Ok((project, removal)),
            None => Err(conflict("project", &project.name, "is not being removed")),
        }
    }

    /// The project, where it takes new deployments.
    pub(super) fn check_stays(&self, actor: &Actor, id: ProjectId) -> StoreResult<()> {
        let project = self.project(&actor.tenant, id)?;
        match project.removal {
            Some(_) => Err(conflict("project", &project.name, "is being removed")),
            None => Ok(()),
        }
    }
}

fn how(purge: bool, forget: bool) -> &'static str {
    match (forget, purge) {
        (true, _) => "forget",
        (false, true) => "purge",
        (false, false) => "",
    }
}
