//! How a project goes.

use async_trait::async_trait;
use deployr_core::model::{Actor, AuditAction, Claim, Project, ProjectId, Removal};
use deployr_core::store::{NewRemoval, Removals, StoreResult};
use deployr_core::value::TargetName;
use uuid::Uuid;

use super::SqliteStore;
use super::audit;
use super::jobs;
use super::projects::{entry, find};
use super::query::{execute, exists, many, scalar, to_json};
use super::writer::Tx;
use crate::error::{DbResult, conflict};
use crate::removals::{DEPLOYMENTS, how, must_be_cleared, must_go, noted, without};
use crate::words::ENGINE;

#[async_trait]
impl Removals for SqliteStore {
    async fn begin_removal(
        &self,
        actor: &Actor,
        id: ProjectId,
        removal: NewRemoval,
    ) -> StoreResult<Project> {
        let actor = actor.clone();
        self.write("begin_removal", move |tx| {
            let project = find(tx.db, &actor.tenant, id)?;
            note(tx, id, &noted(&removal, project.removal.as_ref()))?;
            let entry = entry(&actor, id, AuditAction::RemovalRequested, how(&removal));
            audit::note(tx, &entry)?;
            jobs::insert_all(tx, &actor.tenant, removal.jobs)?;
            find(tx.db, &actor.tenant, id)
        })
        .await
    }

    async fn target_cleared(
        &self,
        claim: &Claim,
        id: ProjectId,
        target: &TargetName,
    ) -> StoreResult<Project> {
        let (claim, target) = (*claim, target.clone());
        self.write("target_cleared", move |tx| {
            let tenant = jobs::held(tx.db, &claim)?.tenant;
            let removal = must_go(&find(tx.db, &tenant, id)?)?;
            note(tx, id, &without(removal, &target))?;
            let sql = "UPDATE releases SET state = 'gone'
                       WHERE project = ?1 AND target = ?2 AND state <> 'gone'";
            execute(tx.db, sql, (id.as_uuid(), target.as_str()))?;
            find(tx.db, &tenant, id)
        })
        .await
    }

    async fn delete_project(&self, claim: &Claim, id: ProjectId, limit: u32) -> StoreResult<bool> {
        let claim = *claim;
        self.write("delete_project", move |tx| delete(tx, &claim, id, limit))
            .await
    }
}

fn note(tx: &Tx<'_>, id: ProjectId, removal: &Removal) -> DbResult<()> {
    let sql = "UPDATE projects SET removal = ?2 WHERE id = ?1";
    execute(tx.db, sql, (id.as_uuid(), to_json(removal)?)).map(drop)
}

/// Whether nothing is left.
fn delete(tx: &Tx<'_>, claim: &Claim, id: ProjectId, limit: u32) -> DbResult<bool> {
    let tenant = jobs::held(tx.db, claim)?.tenant;
    let there = "SELECT 1 FROM projects WHERE id = ?1";
    if !exists(tx.db, there, [id.as_uuid()])? {
        return Ok(true);
    }
    let project = find(tx.db, &tenant, id)?;
    let removal = must_go(&project)?;
    must_be_cleared(&project, &removal)?;
    let open = "SELECT 1 FROM deployments WHERE project = ?1 AND finished_at IS NULL";
    if !removal.forget && exists(tx.db, open, [id.as_uuid()])? {
        let rule = "has a deployment that is not over";
        return Err(conflict("project", &project.name, rule));
    }
    if !deployments(tx, id, limit)? {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM domains WHERE project = ?1",
        "DELETE FROM project_env WHERE project = ?1",
        "DELETE FROM projects WHERE id = ?1",
    ] {
        execute(tx.db, sql, [id.as_uuid()])?;
    }
    // What an earlier project of that slug has left elsewhere is still there.
    if removal.forget || removal.kept {
        let heir = (!removal.forget).then_some(tenant.as_str());
        let sql = "INSERT OR REPLACE INTO left_behind (slug, tenant) VALUES (?1, ?2)";
        execute(tx.db, sql, (project.slug.as_str(), heir))?;
    }
    let actor = Actor::new(tenant, ENGINE);
    let (action, name) = (AuditAction::ProjectRemoved, project.name.as_str());
    audit::note(tx, &entry(&actor, id, action, name))?;
    Ok(true)
}

/// Deletes deployments with all that is theirs; tells whether none is left.
fn deployments(tx: &Tx<'_>, id: ProjectId, limit: u32) -> DbResult<bool> {
    let sql = "SELECT id FROM deployments WHERE project = ?1 ORDER BY id DESC LIMIT ?2";
    let some: Vec<Uuid> = many(tx.db, sql, (id.as_uuid(), DEPLOYMENTS), scalar)?;
    let mut left = limit as usize;
    for deployment in some {
        let sql = "DELETE FROM log_lines WHERE deployment = ?1 AND seq IN (
                       SELECT seq FROM log_lines WHERE deployment = ?1 ORDER BY seq DESC LIMIT ?2
                   )";
        left -= execute(tx.db, sql, (deployment, left as i64))?;
        if left == 0 {
            return Ok(false);
        }
        for sql in [
            // Others may have gone back to what it has made.
            "UPDATE deployments SET release = NULL
             WHERE release IN (SELECT id FROM releases WHERE deployment = ?1)",
            "DELETE FROM stages WHERE deployment = ?1",
            "DELETE FROM releases WHERE deployment = ?1",
            "DELETE FROM deployments WHERE id = ?1",
        ] {
            execute(tx.db, sql, [deployment])?;
        }
    }
    let sql = "SELECT 1 FROM deployments WHERE project = ?1";
    Ok(!exists(tx.db, sql, [id.as_uuid()])?)
}
