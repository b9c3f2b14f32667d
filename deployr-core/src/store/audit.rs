//! Who did what.

use async_trait::async_trait;

use super::StoreResult;
use crate::model::{AuditEntry, Page};
use crate::value::TenantId;

/// The audit log. Written by the other calls only.
///
/// ```
/// use deployr_core::model::{AuditEntry, Page};
/// use deployr_core::store::{Audit, StoreResult};
/// use deployr_core::value::TenantId;
///
/// /// The last thing that was done.
/// async fn newest(store: &dyn Audit, tenant: &TenantId) -> StoreResult<Option<AuditEntry>> {
///     Ok(store.audit(tenant, Page::first(1)).await?.into_iter().next())
/// }
/// ```
#[async_trait]
pub trait Audit: Send + Sync {
    /// The tenant's entries, newest first.
    ///
    /// # Errors
    ///
    /// Only the store's own.
    async fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>>;
}
