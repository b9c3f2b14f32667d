//! What every long call is given: a way to be stopped, and a place to write.

use tokio_util::sync::CancellationToken;

use crate::log::LogWriter;
use crate::model::DeploymentId;

/// Handed to every step of the pipeline.
///
/// A step watches [`cancel`](Self::cancel): once it is cancelled (by a person, a
/// lost lease, or a shutdown), the step stops everything that it has started, save what is
/// [`handed_over`](Self::handed_over), waits until that is gone, and returns [`StepError::Stopped`](crate::error::StepError::Stopped).
#[derive(Debug, Clone)]
pub struct StepContext {
    /// For whom the step works.
    pub deployment: DeploymentId,
    /// Which attempt of that deployment, by the fence of its claim: two attempts
    /// never share a name made from both.
    pub attempt: i64,
    /// Cancelled when the step shall stop.
    pub cancel: CancellationToken,
    /// Cancelled before that where another attempt goes on with the deployment, after a lost
    /// lease or a shutdown: what that one finds again, and must not begin again, is left to it.
    pub handed_over: CancellationToken,
    /// The deployment's log.
    pub log: LogWriter,
}
