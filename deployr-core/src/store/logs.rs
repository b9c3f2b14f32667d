//! The logs of deployments.

use async_trait::async_trait;

use super::StoreResult;
use crate::log::{LogLine, LogStream};
use crate::model::{Claim, DeploymentId};
use crate::system::Timestamp;
use crate::value::TenantId;

/// A line on its way into the log. Its number is its place in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// When the engine had it.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: LogStream,
    /// The text, redacted and cleaned.
    pub text: String,
}

/// How much text one read of a log gives, in bytes: no line is added once it has so much.
pub const LOG_READ_BYTES: usize = 1 << 20;

/// The logs of deployments.
///
/// ```
/// use deployr_core::model::DeploymentId;
/// use deployr_core::store::{Logs, StoreResult};
/// use deployr_core::value::TenantId;
///
/// /// A whole log.
/// async fn text(store: &dyn Logs, tenant: &TenantId, id: DeploymentId) -> StoreResult<String> {
///     let (mut text, mut after) = (String::new(), 0);
///     loop {
///         let lines = store.read_log(tenant, id, after, 1_000).await?;
///         let Some(last) = lines.last() else {
///             return Ok(text);
///         };
///         after = last.seq;
///         lines.iter().for_each(|line| text += &format!("{}\n", line.text));
///     }
/// }
/// ```
#[async_trait]
pub trait Logs: Send + Sync {
    /// Appends lines, the first of which has number `first`. Lines that are there
    /// already (an answer was lost, and the call is made again) are left as they are.
    /// An empty batch is legal. Gives the number that comes next.
    ///
    /// # Errors
    ///
    /// `LeaseLost`; `LogGap` when `first` is past the number that comes next.
    async fn append_log(
        &self,
        claim: &Claim,
        id: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64>;

    /// Up to `limit` lines (at most 10,000) after the line `after`, in order; 0 for
    /// the start. Fewer where their text is longer than [`LOG_READ_BYTES`]: only a read
    /// that gives none has come to the end.
    ///
    /// # Errors
    ///
    /// `NotFound` for the deployment.
    async fn read_log(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<LogLine>>;

    /// The number of the last line; 0 where there is none.
    ///
    /// # Errors
    ///
    /// `NotFound` for the deployment.
    async fn last_line(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<i64>;
}
