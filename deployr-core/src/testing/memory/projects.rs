use async_trait::async_trait;

use super::MemoryStore;
use super::state::{conflict, newest_first, not_found};
use crate::model::{Actor, AuditAction, EnvEntry, Page, Project, ProjectId, ProjectSettings};
use crate::secret::Sealed;
use crate::store::{NewProject, Projects, StoreResult};
use crate::value::{EnvName, ProjectName, TenantId};

#[async_trait]
impl Projects for MemoryStore {
    async fn create_project(&self, actor: &Actor, new: NewProject) -> StoreResult<Project> {
        self.write(|state| {
            if state.projects.contains_key(&new.id) {
                return Err(conflict("project", &new.id, "is taken"));
            }
            let key = new.name.key();
            let mut projects = state.projects.values();
            if projects.any(|one| one.tenant == actor.tenant && one.name.key() == key) {
                return Err(conflict("project", &new.name, "is there already"));
            }
            if state
                .projects
                .values()
                .any(|project| project.slug == new.slug)
            {
                return Err(conflict("subdomain", &new.slug, "is taken"));
            }
            let left = state.left_behind.get(&new.slug);
            if left.is_some_and(|heir| heir.as_ref() != Some(&actor.tenant)) {
                return Err(conflict("subdomain", &new.slug, "is taken"));
            }
            let project = Project {
                id: new.id,
                tenant: actor.tenant.clone(),
                name: new.name,
                slug: new.slug,
                settings: new.settings,
                removal: None,
                created_at: state.now,
                updated_at: state.now,
            };
            for (name, value) in new.env {
                let entry = EnvEntry {
                    name: name.clone(),
                    value,
                    updated_at: state.now,
                };
                state.env.insert((project.id, name), entry);
            }
            state.projects.insert(project.id, project.clone());
            let action = AuditAction::ProjectCreated;
            state.audit(&actor.tenant, &actor.name, action, project.id, None, "");
            Ok(project)
        })
    }

    async fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Project> {
        self.read(|state| state.project(tenant, id).cloned())
    }

    async fn find_project(&self, tenant: &TenantId, name: &ProjectName) -> StoreResult<Project> {
        self.read(|state| {
            let of_tenant = || {
                let projects = state.projects.values();
                projects.filter(|project| project.tenant == *tenant)
            };
            of_tenant()
                .find(|project| project.name.key() == name.key())
                .or_else(|| of_tenant().find(|project| project.slug.as_str() == name.as_str()))
                .cloned()
                .ok_or_else(|| not_found("project", &name))
        })
    }

    async fn projects(
        &self,
        tenant: &TenantId,
        page: Page<ProjectId>,
    ) -> StoreResult<Vec<Project>> {
        self.read(|state| {
            let rows = state
                .projects
                .values()
                .filter(|project| project.tenant == *tenant);
            Ok(newest_first(
                rows,
                page,
                |project| project.id,
                Project::clone,
            ))
        })
    }

    async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> StoreResult<Project> {
        self.write(|state| {
            let project = state.project(&actor.tenant, id)?.clone();
            let project = Project {
                settings,
                updated_at: state.now,
                ..project
            };
            state.projects.insert(id, project.clone());
            let action = AuditAction::ProjectUpdated;
            state.audit(&actor.tenant, &actor.name, action, id, None, "");
            Ok(project)
        })
    }

    async fn set_env(
        &self,
        actor: &Actor,
        id: ProjectId,
        name: &EnvName,
        value: Option<Sealed>,
    ) -> StoreResult<()> {
        self.write(|state| {
            state.project(&actor.tenant, id)?;
            let key = (id, name.clone());
            match value {
                Some(value) => {
                    let entry = EnvEntry {
                        name: name.clone(),
                        value,
                        updated_at: state.now,
                    };
                    state.env.insert(key, entry);
                }
                None if state.env.remove(&key).is_none() => return Ok(()),
                None => {}
            }
            let action = AuditAction::EnvChanged;
            state.audit(&actor.tenant, &actor.name, action, id, None, name.as_str());
            Ok(())
        })
    }

    async fn env(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<EnvEntry>> {
        self.read(|state| {
            state.project(tenant, id)?;
            let rows = state.env.iter().filter(|((project, _), _)| *project == id);
            Ok(rows.map(|(_, entry)| entry.clone()).collect())
        })
    }
}
