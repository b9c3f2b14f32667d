use tokio_util::sync::CancellationToken;

use super::redaction::redactor_of;
use super::{Engine, EngineError, redacted, redacted_fault};
use crate::context::StepContext;
use crate::log::{LogWriter, Redactor};
use crate::model::DeploymentId;
use crate::value::{GitRef, GitUrl};

impl Engine {
    /// Whether a repository is there and has the branch or tag that is wanted; its default
    /// branch where none is named. To be asked before a project is made of it. Fetches
    /// nothing and writes nothing; a commit is given back unseen.
    ///
    /// # Errors
    ///
    /// `Verdict` when it is not there, refuses the credentials, or has no such branch or
    /// tag; `Fault` when its server cannot be asked.
    pub async fn look_up(
        &self,
        url: &GitUrl,
        wanted: Option<&GitRef>,
    ) -> Result<GitRef, EngineError> {
        let engine = self.inner();
        let source = engine.source_at(url, false).await;
        let source = source.map_err(|fault| redacted_fault(&fault, &Redactor::new([])))?;
        let ctx = StepContext {
            deployment: DeploymentId::new(engine.clock.now(), &*engine.entropy),
            attempt: 0,
            cancel: CancellationToken::new(),
            handed_over: CancellationToken::new(),
            log: LogWriter::discard(),
        };
        let found = engine.source.look_up(&source, wanted, &ctx).await;
        Ok(found.map_err(|error| redacted(error, &redactor_of(&source)))?)
    }
}
