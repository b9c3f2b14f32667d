//! Projects and their environments.

use async_trait::async_trait;
use deployr_core::model::{
    Actor, AuditAction, EnvEntry, Page, Project, ProjectId, ProjectSettings,
};
use deployr_core::secret::Sealed;
use deployr_core::store::{NewProject, Projects, StoreResult};
use deployr_core::value::{EnvName, ProjectName, TenantId};
use rusqlite::Connection;

use super::SqliteStore;
use super::audit::{self, Entry};
use super::query::{before, execute, exists, many, one, to_json};
use super::rows;
use super::writer::Tx;
use crate::error::{DbResult, conflict, not_found};

#[async_trait]
impl Projects for SqliteStore {
    async fn create_project(&self, actor: &Actor, new: NewProject) -> StoreResult<Project> {
        let actor = actor.clone();
        self.write("create_project", move |tx| {
            if exists(
                tx.db,
                "SELECT 1 FROM projects WHERE id = ?1",
                [new.id.as_uuid()],
            )? {
                return Err(conflict("project", &new.id, "is taken"));
            }
            let name_key = new.name.key();
            if exists(
                tx.db,
                "SELECT 1 FROM projects WHERE tenant = ?1 AND name_key = ?2",
                (actor.tenant.as_str(), &name_key),
            )? {
                return Err(conflict("project", &new.name, "is there already"));
            }
            if exists(
                tx.db,
                "SELECT 1 FROM projects WHERE slug = ?1",
                [new.slug.as_str()],
            )? {
                return Err(conflict("subdomain", &new.slug, "is taken"));
            }
            let left = "SELECT 1 FROM left_behind WHERE slug = ?1 AND tenant IS NOT ?2";
            if exists(tx.db, left, (new.slug.as_str(), actor.tenant.as_str()))? {
                return Err(conflict("subdomain", &new.slug, "is taken"));
            }
            execute(
                tx.db,
                "INSERT INTO projects
                     (id, tenant, name, name_key, slug, settings, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                (
                    new.id.as_uuid(),
                    actor.tenant.as_str(),
                    new.name.as_str(),
                    name_key,
                    new.slug.as_str(),
                    to_json(&new.settings)?,
                    tx.now(),
                ),
            )?;
            for (name, value) in &new.env {
                put_env(tx, new.id, name, value)?;
            }
            audit::note(tx, &entry(&actor, new.id, AuditAction::ProjectCreated, ""))?;
            find(tx.db, &actor.tenant, new.id)
        })
        .await
    }

    async fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Project> {
        let tenant = tenant.clone();
        self.read("project", move |db| find(db, &tenant, id)).await
    }

    async fn find_project(&self, tenant: &TenantId, name: &ProjectName) -> StoreResult<Project> {
        let (tenant, name) = (tenant.clone(), name.clone());
        self.read("find_project", move |db| {
            let sql = include_str!("sql/find_project.sql");
            one(
                db,
                sql,
                (name.key(), name.as_str(), tenant.as_str()),
                rows::project,
            )?
            .ok_or_else(|| not_found("project", &name))
        })
        .await
    }

    async fn projects(
        &self,
        tenant: &TenantId,
        page: Page<ProjectId>,
    ) -> StoreResult<Vec<Project>> {
        let tenant = tenant.clone();
        self.read("projects", move |db| {
            many(
                db,
                "SELECT * FROM projects WHERE tenant = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                (
                    tenant.as_str(),
                    before(page.after.map(|id| id.as_uuid())),
                    page.limit(),
                ),
                rows::project,
            )
        })
        .await
    }

    async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> StoreResult<Project> {
        let actor = actor.clone();
        self.write("update_project", move |tx| {
            let changed = execute(
                tx.db,
                "UPDATE projects SET settings = ?3, updated_at = ?4 WHERE id = ?1 AND tenant = ?2",
                (
                    id.as_uuid(),
                    actor.tenant.as_str(),
                    to_json(&settings)?,
                    tx.now(),
                ),
            )?;
            if changed == 0 {
                return Err(not_found("project", &id));
            }
            audit::note(tx, &entry(&actor, id, AuditAction::ProjectUpdated, ""))?;
            find(tx.db, &actor.tenant, id)
        })
        .await
    }

    async fn set_env(
        &self,
        actor: &Actor,
        id: ProjectId,
        name: &EnvName,
        value: Option<Sealed>,
    ) -> StoreResult<()> {
        let (actor, name) = (actor.clone(), name.clone());
        self.write("set_env", move |tx| {
            must_exist(tx.db, &actor.tenant, id)?;
            let changed = match value {
                Some(value) => put_env(tx, id, &name, &value)?,
                None => execute(
                    tx.db,
                    "DELETE FROM project_env WHERE project = ?1 AND name = ?2",
                    (id.as_uuid(), name.as_str()),
                )?,
            };
            if changed > 0 {
                audit::note(
                    tx,
                    &entry(&actor, id, AuditAction::EnvChanged, name.as_str()),
                )?;
            }
            Ok(())
        })
        .await
    }

    async fn env(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<EnvEntry>> {
        let tenant = tenant.clone();
        self.read("env", move |db| {
            must_exist(db, &tenant, id)?;
            many(
                db,
                "SELECT * FROM project_env WHERE project = ?1 ORDER BY name",
                [id.as_uuid()],
                rows::env_entry,
            )
        })
        .await
    }
}

fn put_env(tx: &Tx<'_>, id: ProjectId, name: &EnvName, value: &Sealed) -> DbResult<usize> {
    execute(
        tx.db,
        "INSERT INTO project_env (project, name, value, updated_at)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (project, name)
         DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (id.as_uuid(), name.as_str(), value.as_bytes(), tx.now()),
    )
}

pub(super) fn entry<'a>(
    actor: &'a Actor,
    project: ProjectId,
    action: AuditAction,
    detail: &'a str,
) -> Entry<'a> {
    Entry {
        tenant: &actor.tenant,
        actor: &actor.name,
        action,
        project,
        deployment: None,
        detail,
    }
}

pub(super) fn find(db: &Connection, tenant: &TenantId, id: ProjectId) -> DbResult<Project> {
    let sql = "SELECT * FROM projects WHERE id = ?1 AND tenant = ?2";
    one(db, sql, (id.as_uuid(), tenant.as_str()), rows::project)?
        .ok_or_else(|| not_found("project", &id))
}

/// Refuses a project that is not there, or not this tenant's.
pub(super) fn must_exist(db: &Connection, tenant: &TenantId, id: ProjectId) -> DbResult<()> {
    let sql = "SELECT 1 FROM projects WHERE id = ?1 AND tenant = ?2";
    if exists(db, sql, (id.as_uuid(), tenant.as_str()))? {
        Ok(())
    } else {
        Err(not_found("project", &id))
    }
}
