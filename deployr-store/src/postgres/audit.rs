//! The audit log.

use async_trait::async_trait;
use deployr_core::model::{AuditAction, AuditEntry, Deployment, DeploymentId, Page, ProjectId};
use deployr_core::store::{Audit, StoreResult};
use deployr_core::value::TenantId;

use super::PgStore;
use super::calls::Tx;
use super::query::{execute, many, text};
use super::rows;
use crate::error::DbResult;

#[async_trait]
impl Audit for PgStore {
    async fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>> {
        let (after, limit) = (page.after.unwrap_or(i64::MAX), i64::from(page.limit()));
        self.call("audit", |db| {
            Box::pin(async move {
                let sql = "SELECT seq, at, tenant, actor, action, project, deployment, detail
                           FROM audit WHERE tenant = $1 AND seq < $2
                           ORDER BY seq DESC LIMIT $3";
                let statement = sqlx::query(sql)
                    .bind(tenant.as_str())
                    .bind(after)
                    .bind(limit);
                many(db.get(), statement, rows::audit_entry).await
            })
        })
        .await
    }
}

/// An entry to be written.
pub(super) struct Entry<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) actor: &'a str,
    pub(super) action: AuditAction,
    pub(super) project: ProjectId,
    pub(super) deployment: Option<DeploymentId>,
    pub(super) detail: &'a str,
}

/// Writes an entry, in the transaction of what it tells of.
pub(super) async fn note(tx: &mut Tx<'_>, entry: &Entry<'_>) -> DbResult<()> {
    let sql = "INSERT INTO audit (at, tenant, actor, action, project, deployment, detail)
               VALUES (now(), $1, $2, $3, $4, $5, $6)";
    let statement = sqlx::query(sql)
        .bind(entry.tenant.as_str())
        .bind(text(entry.actor))
        .bind(entry.action.as_str())
        .bind(entry.project.as_uuid())
        .bind(entry.deployment.map(|id| id.as_uuid()))
        .bind(text(entry.detail));
    execute(tx.db(), statement).await?;
    Ok(())
}

/// Writes an entry about a deployment.
pub(super) async fn note_deployment(
    tx: &mut Tx<'_>,
    actor: &str,
    deployment: &Deployment,
    action: AuditAction,
    detail: &str,
) -> DbResult<()> {
    let entry = Entry {
        tenant: &deployment.tenant,
        actor,
        action,
        project: deployment.project,
        deployment: Some(deployment.id),
        detail,
    };
    note(tx, &entry).await
}
