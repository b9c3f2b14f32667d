//! The way into a deployment's log: a sink, and the writers that feed it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batcher::Batcher;
use super::{LogStream, Redactor};
use crate::bus::EventBus;
use crate::engine::Trouble;
use crate::model::{Claim, DeploymentId};
use crate::store::{Logs, StoreError};
use crate::system::Clock;

/// How a log is batched, and where it ends.
#[derive(Debug, Clone)]
pub struct LogLimits {
    /// Text of one deployment that is kept, in bytes. What comes after is counted, and
    /// its last part kept. 20 MiB.
    pub total: usize,
    /// How much of the end is kept where the whole is too long. 256 KiB.
    pub tail: usize,
    /// A batch is written once it has so many lines. 1,000. While another is being
    /// written it grows further, to eight times as many.
    pub batch_lines: usize,
    /// A batch is written once it has so many bytes. 64 KiB, and eight times as many
    /// while another is being written.
    pub batch_bytes: usize,
    /// A batch is written once its first line is so old. 5 ms.
    pub batch_age: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            total: 20 << 20,
            tail: 256 << 10,
            batch_lines: 1_000,
            batch_bytes: 64 << 10,
            batch_age: Duration::from_millis(5),
        }
    }
}

/// What writers hand in.
#[derive(Debug)]
pub(super) enum Entry {
    Bytes(LogStream, Vec<u8>),
    Flush(oneshot::Sender<()>),
    Close,
}

/// Writes into a deployment's log. Cheap to clone; may be used from any task.
#[derive(Debug, Clone)]
pub struct LogWriter(Option<mpsc::Sender<Entry>>);

impl LogWriter {
    /// A writer into nothing, for calls outside of any deployment.
    #[must_use]
    pub fn discard() -> Self {
        Self(None)
    }

    /// Raw output of a command, cut anywhere. Waits while the store is slow: a build
    /// that writes faster than its log can be kept is held back, and loses nothing.
    pub async fn write(&self, stream: LogStream, bytes: &[u8]) {
        if let Some(sender) = &self.0 {
            // Fails only once the sink is gone: the lease was lost, or the store has refused
            // lines for good, which `close` tells.
            let _ = sender.send(Entry::Bytes(stream, bytes.to_vec())).await;
        }
    }

    /// One line in the engine's own words.
    pub async fn say(&self, text: impl AsRef<str>) {
        self.write(LogStream::Engine, format!("{}\n", text.as_ref()).as_bytes())
            .await;
    }

    /// Waits until everything written so far is stored (or the lease was lost).
    pub async fn flush(&self) {
        if let Some(sender) = &self.0 {
            let (done, wait) = oneshot::channel();
            if sender.send(Entry::Flush(done)).await.is_ok() {
                let _ = wait.await;
            }
        }
    }
}

/// What a sink writes to.
#[derive(Clone)]
pub struct LogTarget {
    /// Where the lines are kept.
    pub store: Arc<dyn Logs>,
    /// Who is told that there are new ones.
    pub bus: Arc<dyn EventBus>,
    /// Stamps the lines.
    pub clock: Arc<dyn Clock>,
    /// The claim under which they are written.
    pub claim: Claim,
    /// Whose log it is.
    pub deployment: DeploymentId,
    /// Cancelled when the claim was lost: what is not written by then never will be.
    pub lost: CancellationToken,
    /// Where is told that the store does not take them.
    pub trouble: Arc<Trouble>,
}

/// Takes the output of one attempt of a deployment and makes it durable, in order:
/// lines are redacted, cleaned, capped, numbered and written in batches, and only
/// then announced.
///
/// One sink an attempt. [`writer`](Self::writer) as often as wanted, then
/// [`close`](Self::close), after which every line is stored.
#[derive(Debug)]
pub struct LogSink {
    writer: LogWriter,
    task: JoinHandle<Result<(), StoreError>>,
}

/// How many writes may wait. With commands read in pieces of 32 KiB that bounds a
/// deployment's memory to a few megabytes.
const QUEUE: usize = 128;

impl LogSink {
    /// Starts a sink; `next` is the number of its first line.
    #[must_use]
    pub fn start(target: LogTarget, next: i64, redactor: Arc<Redactor>, limits: LogLimits) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let batcher = Batcher::new(target, next, redactor, limits);
        Self {
            writer: LogWriter(Some(sender)),
            task: tokio::spawn(batcher.run(receiver)),
        }
    }

    /// A way to write.
    #[must_use]
    pub fn writer(&self) -> LogWriter {
        self.writer.clone()
    }

    /// Writes what is left. Lines that other writers hand in later are dropped.
    ///
    /// # Errors
    ///
    /// The store's, when the claim was lost before all was written.
    pub async fn close(self) -> Result<(), StoreError> {
        if let Some(sender) = &self.writer.0 {
            let _ = sender.send(Entry::Close).await;
        }
        self.task.await.unwrap_or_else(|panic| {
            Err(StoreError::Unavailable {
                operation: "append to the log",
                reason: panic.to_string(),
            })
        })
    }
}
