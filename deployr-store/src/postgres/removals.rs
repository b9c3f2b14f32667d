//! How a project goes.

use async_trait::async_trait;
use deployr_core::model::{Actor, AuditAction, Claim, Project, ProjectId, Removal};
use deployr_core::store::{NewRemoval, Removals, StoreResult};
use deployr_core::value::TargetName;
use uuid::Uuid;

use super::PgStore;
use super::audit;
use super::calls::Tx;
use super::enqueue::enqueue;
use super::jobs;
use super::places;
use super::projects::{entry, find, lock};
use super::query::{execute, exists, many, scalar, to_json};
use crate::error::{DbResult, conflict};
use crate::removals::{DEPLOYMENTS, how, must_be_cleared, must_go, noted, without};
use crate::words::ENGINE;

#[async_trait]
impl Removals for PgStore {
    async fn begin_removal(
        &self,
        actor: &Actor,
        id: ProjectId,
        removal: NewRemoval,
    ) -> StoreResult<Project> {
        let removal = &removal;
        self.write("begin_removal", |tx| {
            Box::pin(begin(tx, actor, id, removal))
        })
        .await
    }

    async fn target_cleared(
        &self,
        claim: &Claim,
        id: ProjectId,
        target: &TargetName,
    ) -> StoreResult<Project> {
        self.write("target_cleared", |tx| {
            Box::pin(async move {
                let tenant = jobs::held(tx, claim).await?.tenant;
                lock(tx, id).await?;
                let removal = must_go(&find(tx.db(), &tenant, id).await?)?;
                note(tx, id, &without(removal, target)).await?;
                let sql = "UPDATE releases SET state = 'gone'
                           WHERE project = $1 AND target = $2 AND state <> 'gone'";
                let statement = sqlx::query(sql).bind(id.as_uuid()).bind(target.as_str());
                execute(tx.db(), statement).await?;
                find(tx.db(), &tenant, id).await
            })
        })
        .await
    }

    async fn delete_project(&self, claim: &Claim, id: ProjectId, limit: u32) -> StoreResult<bool> {
        self.write("delete_project", |tx| {
            Box::pin(delete(tx, claim, id, limit))
        })
        .await
    }
}

async fn begin(
    tx: &mut Tx<'_>,
    actor: &Actor,
    id: ProjectId,
    removal: &NewRemoval,
) -> DbResult<Project> {
    let keys = removal
        .jobs
        .iter()
        .flat_map(|job| places::keys(&job.limits));
    let keys: Vec<String> = keys.collect();
    places::lock(tx, &keys).await?;
    find(tx.db(), &actor.tenant, id).await?; // before anything is written
    for job in &removal.jobs {
        enqueue(tx, &actor.tenant, job).await?;
    }
    lock(tx, id).await?;
    let project = find(tx.db(), &actor.tenant, id).await?;
    note(tx, id, &noted(removal, project.removal.as_ref())).await?;
    let entry = entry(actor, id, AuditAction::RemovalRequested, how(removal));
    audit::note(tx, &entry).await?;
    find(tx.db(), &actor.tenant, id).await
}

async fn note(tx: &mut Tx<'_>, id: ProjectId, removal: &Removal) -> DbResult<()> {
    let statement = sqlx::query("UPDATE projects SET removal = $2 WHERE id = $1")
        .bind(id.as_uuid())
        .bind(to_json(removal)?);
    execute(tx.db(), statement).await.map(drop)
}

/// Whether nothing is left.
async fn delete(tx: &mut Tx<'_>, claim: &Claim, id: ProjectId, limit: u32) -> DbResult<bool> {
    let tenant = jobs::held(tx, claim).await?.tenant;
    let there = sqlx::query("SELECT 1 FROM projects WHERE id = $1").bind(id.as_uuid());
    if !exists(tx.db(), there).await? {
        return Ok(true);
    }
    let project = find(tx.db(), &tenant, id).await?;
    let removal = must_go(&project)?;
    must_be_cleared(&project, &removal)?;
    let open = "SELECT 1 FROM deployments WHERE project = $1 AND finished_at IS NULL";
    let open = sqlx::query(open).bind(id.as_uuid());
    if !removal.forget && exists(tx.db(), open).await? {
        let rule = "has a deployment that is not over";
        return Err(conflict("project", &project.name, rule));
    }
    if !deployments(tx, id, limit).await? {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM domains WHERE project = $1",
        "DELETE FROM project_env WHERE project = $1",
        "DELETE FROM projects WHERE id = $1",
    ] {
        execute(tx.db(), sqlx::query(sql).bind(id.as_uuid())).await?;
    }
    // What an earlier project of that slug has left elsewhere is still there.
    if removal.forget || removal.kept {
        let heir = (!removal.forget).then_some(tenant.as_str());
        let sql = "INSERT INTO left_behind (slug, tenant) VALUES ($1, $2)
                   ON CONFLICT (slug) DO UPDATE SET tenant = excluded.tenant";
        let statement = sqlx::query(sql).bind(project.slug.as_str()).bind(heir);
        execute(tx.db(), statement).await?;
    }
    let (action, name) = (AuditAction::ProjectRemoved, project.name.as_str());
    let actor = Actor::new(tenant, ENGINE);
    audit::note(tx, &entry(&actor, id, action, name)).await?;
    Ok(true)
}

/// Deletes deployments with all that is theirs; tells whether none is left.
async fn deployments(tx: &mut Tx<'_>, id: ProjectId, limit: u32) -> DbResult<bool> {
    let sql = "SELECT id FROM deployments WHERE project = $1 ORDER BY id DESC LIMIT $2 FOR UPDATE";
    let statement = sqlx::query(sql)
        .bind(id.as_uuid())
        .bind(i64::from(DEPLOYMENTS));
    let some: Vec<Uuid> = many(tx.db(), statement, scalar).await?;
    let sql = "DELETE FROM log_lines AS line USING (
                   SELECT deployment, seq FROM log_lines WHERE deployment = ANY($1) LIMIT $2
               ) AS chosen
               WHERE line.deployment = chosen.deployment AND line.seq = chosen.seq";
    let lines = sqlx::query(sql).bind(&some).bind(i64::from(limit));
    if execute(tx.db(), lines).await? >= u64::from(limit) {
        return Ok(false);
    }
    for sql in [
        // Others may have gone back to what they have made.
        "UPDATE deployments SET release = NULL
         WHERE release IN (SELECT id FROM releases WHERE deployment = ANY($1))",
        "DELETE FROM stages WHERE deployment = ANY($1)",
        "DELETE FROM releases WHERE deployment = ANY($1)",
        "DELETE FROM deployments WHERE id = ANY($1)",
    ] {
        execute(tx.db(), sqlx::query(sql).bind(&some)).await?;
    }
    let left = sqlx::query("SELECT 1 FROM deployments WHERE project = $1").bind(id.as_uuid());
    Ok(!exists(tx.db(), left).await?)
}
