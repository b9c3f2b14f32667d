//! What containers say.

use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptions;
use deployr_core::error::StepResult;
use deployr_core::log::LogStream;
use deployr_core::value::Slug;
use futures::{Stream, StreamExt, TryStreamExt};
use hyper::body::Bytes;

use super::DockerExecutor;
use super::client::Client;

/// What of the last lines is kept, however long they are.
const TAIL: usize = 64 << 10;

impl DockerExecutor {
    /// What a release says: its last `lines` lines, and with `follow` what it says from then
    /// on, until its container ends. Pieces of its output as they come, in order a stream.
    ///
    /// # Errors
    ///
    /// A fault where the engine does not answer, or has no container of that release.
    pub async fn output(
        &self,
        slug: &Slug,
        number: i64,
        lines: usize,
        follow: bool,
    ) -> StepResult<impl Stream<Item = StepResult<(LogStream, Bytes)>> + Send + 'static> {
        let name = self.instance().await?.container(slug, number);
        let docker = self.client().docker().await?.clone();
        let said = docker.logs(&name, Some(options(lines, follow)));
        heard(Arc::clone(&self.client), name, said).await
    }

    /// The last lines that a container has said, each as a line of its own; nothing where
    /// they cannot be had.
    pub(super) async fn tail(&self, name: &str, lines: usize) -> Vec<u8> {
        match self.client().docker().await {
            Ok(docker) => last(docker.logs(name, Some(options(lines, false)))).await,
            Err(_) => Vec::new(),
        }
    }
}

/// Output as others know it, if there is anything to listen to.
pub(super) async fn heard(
    client: Arc<Client>,
    name: String,
    said: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
) -> StepResult<impl Stream<Item = StepResult<(LogStream, Bytes)>> + Send + 'static> {
    // The first piece tells.
    let mut said = Box::pin(said.peekable());
    if let Some(Err(_)) = said.as_mut().peek().await
        && let Some(Err(error)) = said.next().await
    {
        return Err(client.fault("listening to", &name, error).into());
    }
    Ok(said.map(move |piece| {
        let piece = client.step("listening to", &name, piece)?;
        let stream = match &piece {
            LogOutput::StdErr { .. } => LogStream::Stderr,
            _ => LogStream::Stdout,
        };
        Ok((stream, piece.into_bytes()))
    }))
}

/// The end of it, each line as a line of its own.
pub(super) async fn last(said: impl Stream<Item = Result<LogOutput, Error>>) -> Vec<u8> {
    let mut said = std::pin::pin!(said);
    let mut text = Vec::new();
    while let Ok(Some(piece)) = said.try_next().await {
        text.extend_from_slice(&piece.into_bytes());
        let surplus = text.len().saturating_sub(TAIL);
        text.drain(..surplus);
    }
    if !text.is_empty() && text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    text
}

pub(super) fn options(lines: usize, follow: bool) -> LogsOptions {
    LogsOptions {
        follow,
        stdout: true,
        stderr: true,
        tail: lines.to_string(),
        ..LogsOptions::default()
    }
}
