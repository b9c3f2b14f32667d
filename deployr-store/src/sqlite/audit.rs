//! The audit log.

use async_trait::async_trait;
use deployr_core::model::{AuditAction, AuditEntry, Deployment, DeploymentId, Page, ProjectId};
use deployr_core::store::{Audit, StoreResult};
use deployr_core::value::TenantId;

use super::SqliteStore;
use super::query::{execute, many};
use super::rows;
use super::writer::Tx;
use crate::error::DbResult;

#[async_trait]
impl Audit for SqliteStore {
    async fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>> {
        let tenant = tenant.clone();
        self.read("audit", move |db| {
            many(
                db,
                "SELECT * FROM audit WHERE tenant = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
                (
                    tenant.as_str(),
                    page.after.unwrap_or(i64::MAX),
                    page.limit(),
                ),
                rows::audit_entry,
            )
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
pub(super) fn note(tx: &Tx<'_>, entry: &Entry<'_>) -> DbResult<()> {
    execute(
        tx.db,
        "INSERT INTO audit (at, tenant, actor, action, project, deployment, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            tx.now(),
            entry.tenant.as_str(),
            entry.actor,
            entry.action.as_str(),
            entry.project.as_uuid(),
            entry.deployment.map(|id| id.as_uuid()),
            entry.detail,
        ),
    )?;
    Ok(())
}

/// Writes an entry about a deployment.
pub(super) fn note_deployment(
    tx: &Tx<'_>,
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
    note(tx, &entry)
}
