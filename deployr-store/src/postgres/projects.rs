//! Projects and their environments.

use async_trait::async_trait;
use deployr_core::model::{
    Actor, AuditAction, EnvEntry, Page, Project, ProjectId, ProjectSettings,
};
use deployr_core::secret::Sealed;
use deployr_core::store::{NewProject, Projects, StoreResult};
use deployr_core::value::{EnvName, ProjectName, TenantId};
use sqlx::postgres::PgConnection;

use super::PgStore;
use super::audit::{self, Entry};
use super::calls::Tx;
use super::query::{before, execute, exists, many, one, to_json};
use super::rows::{self, columns};
use crate::error::{DbResult, conflict, not_found};

#[async_trait]
impl Projects for PgStore {
    async fn create_project(&self, actor: &Actor, new: NewProject) -> StoreResult<Project> {
        let new = &new;
        self.write("create_project", |tx| Box::pin(create(tx, actor, new)))
            .await
    }

    async fn project(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Project> {
        self.call("project", |db| Box::pin(find(db.get(), tenant, id)))
            .await
    }

    async fn find_project(&self, tenant: &TenantId, name: &ProjectName) -> StoreResult<Project> {
        self.call("find_project", |db| {
            Box::pin(async move {
                let statement = sqlx::query(include_str!("sql/find_project.sql"))
                    .bind(name.key())
                    .bind(name.as_str())
                    .bind(tenant.as_str());
                one(db.get(), statement, rows::project)
                    .await?
                    .ok_or_else(|| not_found("project", name))
            })
        })
        .await
    }

    async fn projects(
        &self,
        tenant: &TenantId,
        page: Page<ProjectId>,
    ) -> StoreResult<Vec<Project>> {
        let after = before(page.after.map(|id| id.as_uuid()));
        let limit = i64::from(page.limit());
        self.call("projects", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(projects),
                    " FROM projects WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
                );
                let statement = sqlx::query(sql)
                    .bind(tenant.as_str())
                    .bind(after)
                    .bind(limit);
                many(db.get(), statement, rows::project).await
            })
        })
        .await
    }

    async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> StoreResult<Project> {
        let settings = &settings;
        self.write("update_project", |tx| {
            Box::pin(async move {
                let sql = concat!(
                    "UPDATE projects SET settings = $3, updated_at = now()
                     WHERE id = $1 AND tenant = $2 RETURNING ",
                    columns!(projects)
                );
                let statement = sqlx::query(sql)
                    .bind(id.as_uuid())
                    .bind(actor.tenant.as_str())
                    .bind(to_json(settings)?);
                let project = one(tx.db(), statement, rows::project)
                    .await?
                    .ok_or_else(|| not_found("project", &id))?;
                audit::note(tx, &entry(actor, id, AuditAction::ProjectUpdated, "")).await?;
                Ok(project)
            })
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
        let value = value.as_ref();
        self.write("set_env", |tx| {
            Box::pin(async move {
                must_exist(tx.db(), &actor.tenant, id).await?;
                let changed = match value {
                    Some(value) => put_env(tx, id, name, value).await?,
                    None => {
                        let sql = "DELETE FROM project_env WHERE project = $1 AND name = $2";
                        let statement = sqlx::query(sql).bind(id.as_uuid()).bind(name.as_str());
                        execute(tx.db(), statement).await?
                    }
                };
                if changed > 0 {
                    let entry = entry(actor, id, AuditAction::EnvChanged, name.as_str());
                    audit::note(tx, &entry).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn env(&self, tenant: &TenantId, id: ProjectId) -> StoreResult<Vec<EnvEntry>> {
        self.call("env", |db| {
            Box::pin(async move {
                must_exist(db.get(), tenant, id).await?;
                let sql = "SELECT name, value, updated_at FROM project_env
                           WHERE project = $1 ORDER BY name";
                let statement = sqlx::query(sql).bind(id.as_uuid());
                many(db.get(), statement, rows::env_entry).await
            })
        })
        .await
    }
}

async fn create(tx: &mut Tx<'_>, actor: &Actor, new: &NewProject) -> DbResult<Project> {
    let tenant = actor.tenant.as_str();
    let sql = concat!(
        "INSERT INTO projects (id, tenant, name, name_key, slug, settings, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, now(), now())
         ON CONFLICT DO NOTHING RETURNING ",
        columns!(projects)
    );
    let statement = sqlx::query(sql)
        .bind(new.id.as_uuid())
        .bind(tenant)
        .bind(new.name.as_str())
        .bind(new.name.key())
        .bind(new.slug.as_str())
        .bind(to_json(&new.settings)?);
    let Some(project) = one(tx.db(), statement, rows::project).await? else {
        // What stands in the way was committed before the insert gave up, so it can be seen.
        let id = sqlx::query("SELECT 1 FROM projects WHERE id = $1").bind(new.id.as_uuid());
        if exists(tx.db(), id).await? {
            return Err(conflict("project", &new.id, "is taken"));
        }
        let sql = "SELECT 1 FROM projects WHERE tenant = $1 AND name_key = $2";
        let name = sqlx::query(sql).bind(tenant).bind(new.name.key());
        if exists(tx.db(), name).await? {
            return Err(conflict("project", &new.name, "is there already"));
        }
        return Err(conflict("subdomain", &new.slug, "is taken"));
    };
    let left = "SELECT 1 FROM left_behind WHERE slug = $1 AND tenant IS DISTINCT FROM $2";
    let left = sqlx::query(left).bind(new.slug.as_str()).bind(tenant);
    if exists(tx.db(), left).await? {
        return Err(conflict("subdomain", &new.slug, "is taken"));
    }
    for (name, value) in &new.env {
        put_env(tx, new.id, name, value).await?;
    }
    audit::note(tx, &entry(actor, new.id, AuditAction::ProjectCreated, "")).await?;
    Ok(project)
}

async fn put_env(tx: &mut Tx<'_>, id: ProjectId, name: &EnvName, value: &Sealed) -> DbResult<u64> {
    let sql = "INSERT INTO project_env (project, name, value, updated_at)
               VALUES ($1, $2, $3, now())
               ON CONFLICT (project, name)
               DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
    let statement = sqlx::query(sql)
        .bind(id.as_uuid())
        .bind(name.as_str())
        .bind(value.as_bytes());
    execute(tx.db(), statement).await
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

pub(super) async fn find(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: ProjectId,
) -> DbResult<Project> {
    let sql = concat!(
        "SELECT ",
        columns!(projects),
        " FROM projects WHERE id = $1 AND tenant = $2"
    );
    let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
    one(db, statement, rows::project)
        .await?
        .ok_or_else(|| not_found("project", &id))
}

/// Refuses a project that is not there, or not this tenant's.
pub(super) async fn must_exist(
    db: &mut PgConnection,
    tenant: &TenantId,
    id: ProjectId,
) -> DbResult<()> {
    let sql = "SELECT 1 FROM projects WHERE id = $1 AND tenant = $2";
    let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
    if exists(db, statement).await? {
        Ok(())
    } else {
        Err(not_found("project", &id))
    }
}

/// Locks a project: its next number, and what its releases are.
pub(super) async fn lock(tx: &mut Tx<'_>, id: ProjectId) -> DbResult<()> {
    let sql = "SELECT 1 FROM projects WHERE id = $1 FOR NO KEY UPDATE";
    execute(tx.db(), sqlx::query(sql).bind(id.as_uuid())).await?;
    Ok(())
}
