//! What containers say.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use deployr_core::error::StepResult;
use deployr_core::log::LogStream;
use deployr_core::value::Slug;
use futures::{Stream, StreamExt, TryStreamExt};
use hyper::body::Bytes;

use super::DockerExecutor;

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
        let (executor, docker) = (self.clone(), self.client().docker().await?.clone());
        let said = docker.logs(&name, Some(options(lines, follow)));
        // The first piece tells whether there is anything to listen to.
        let mut said = Box::pin(said.peekable());
        if let Some(Err(_)) = said.as_mut().peek().await
            && let Some(Err(error)) = said.next().await
        {
            return Err(self.client().fault("listening to", &name, error).into());
        }
        Ok(said.map(move |piece| {
            let piece = executor.client().step("listening to", &name, piece)?;
            let stream = match &piece {
                LogOutput::StdErr { .. } => LogStream::Stderr,
                _ => LogStream::Stdout,
            };
            Ok((stream, piece.into_bytes()))
        }))
    }

    /// The last lines that a container has said, each as a line of its own; nothing where
    /// they cannot be had.
    pub(super) async fn tail(&self, name: &str, lines: usize) -> Vec<u8> {
        let Ok(docker) = self.client().docker().await else {
            return Vec::new();
        };
        let mut said = docker.logs(name, Some(options(lines, false)));
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
}

fn options(lines: usize, follow: bool) -> LogsOptions {
    LogsOptions {
        follow,
        stdout: true,
        stderr: true,
        tail: lines.to_string(),
        ..LogsOptions::default()
    }
}
