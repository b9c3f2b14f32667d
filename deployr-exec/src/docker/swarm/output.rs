//! What the tasks of a release say, on whichever node they are.

use std::sync::Arc;
use std::time::Duration;

use deployr_core::error::StepResult;
use deployr_core::log::LogStream;
use deployr_core::value::Slug;
use futures::Stream;
use hyper::body::Bytes;

use super::super::output::{heard, last, options};
use super::SwarmExecutor;

/// For what is asked of other nodes, of which one may be away.
const PATIENCE: Duration = Duration::from_secs(5);

impl SwarmExecutor {
    /// What all tasks of a release say: the last `lines` lines of each, and with `follow` what
    /// they say from then on, until the service is gone. Pieces of output as they come, in order
    /// a task and stream.
    ///
    /// # Errors
    ///
    /// A fault where the engine does not answer, or has no service of that release.
    pub async fn output(
        &self,
        slug: &Slug,
        number: i64,
        lines: usize,
        follow: bool,
    ) -> StepResult<impl Stream<Item = StepResult<(LogStream, Bytes)>> + Send + 'static> {
        let name = self.docker.instance().await?.service(slug, number);
        let docker = self.docker.client().docker().await?.clone();
        let said = docker.service_logs(&name, Some(options(lines, follow)));
        heard(Arc::clone(&self.docker.client), name, said).await
    }

    /// The last lines of its tasks; nothing where they cannot be had.
    pub(super) async fn tail(&self, service: &str, lines: usize) -> Vec<u8> {
        let Ok(docker) = self.docker.client().docker().await else {
            return Vec::new();
        };
        let said = docker.service_logs(service, Some(options(lines, false)));
        let said = tokio::time::timeout(PATIENCE, last(said)).await;
        said.unwrap_or_default()
    }
}
