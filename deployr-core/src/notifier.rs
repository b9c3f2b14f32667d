//! What tells people and other systems.

use async_trait::async_trait;

use crate::error::Fault;
use crate::model::{Deployment, Project};

/// What there is to tell.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The project.
    pub project: Project,
    /// The deployment, in its final status.
    pub deployment: Deployment,
    /// Where the project can be reached, if anywhere.
    pub url: Option<String>,
}

/// Tells of a deployment's end. Called from a job of its own, never from within a
/// deployment: a failing notifier cannot change what became of one.
///
/// A notice may come twice (after a crash between the telling and the noting down);
/// the deployment's id tells. Calls may run at the same time.
///
/// ```
/// use async_trait::async_trait;
/// use deployr_core::error::Fault;
/// use deployr_core::notifier::{Notice, Notifier};
///
/// struct Bell;
///
/// #[async_trait]
/// impl Notifier for Bell {
///     fn name(&self) -> &str { "bell" }
///     async fn notify(&self, notice: &Notice) -> Result<(), Fault> {
///         println!("\x07{}: {:?}", notice.project.name, notice.deployment.status);
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait Notifier: Send + Sync {
    /// A short name for logs: `webhook`.
    fn name(&self) -> &str;

    /// Tells. A call that has not ended after 30 s is dropped, and counts as a fault that
    /// may be tried again: it holds up the other notifiers and one job of the worker.
    ///
    /// # Errors
    ///
    /// A fault; it is tried again with growing pauses when that can help.
    async fn notify(&self, notice: &Notice) -> Result<(), Fault>;
}

/// Writes each notice to the host program's `tracing` output.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    fn name(&self) -> &str {
        "log"
    }

    async fn notify(&self, notice: &Notice) -> Result<(), Fault> {
        tracing::info!(
            project = %notice.project.name,
            deployment = %notice.deployment.id,
            status = ?notice.deployment.status,
            reason = notice.deployment.failure.as_ref().map(|failure| failure.message()),
            "deployment ended"
        );
        Ok(())
    }
}
