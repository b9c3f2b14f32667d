//! Who did what.

use async_trait::async_trait;

use super::StoreResult;
use crate::model::{AuditEntry, Page};
use crate::value::TenantId;

/// The audit log. Written by the other calls only.
#[async_trait]
pub trait Audit: Send + Sync {
    /// The tenant's entries, newest first.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>>;
}
