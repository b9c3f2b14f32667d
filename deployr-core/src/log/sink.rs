use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LineReader, LogStream, Redactor};
use crate::bus::{EventBus, Hint};
use crate::model::{Claim, DeploymentId};
use crate::retry;
use crate::store::{Logs, NewLine, StoreError};
use crate::system::Clock;

/// How a log is batched, and where it ends.
#[derive(Debug, Clone)]
pub struct LogLimits {
    /// Text of one deployment that is kept, in bytes. What comes after is counted, and
    /// its last part kept. 20 MiB.
    pub total: usize,
    /// How much of the end is kept where the whole is too long. 256 KiB.
    pub tail: usize,
    /// A batch is written once it has so many lines. 1,000.
    pub batch_lines: usize,
    /// A batch is written once it has so many bytes. 64 KiB.
    pub batch_bytes: usize,
    /// A batch is written once its first line is so old. 10 ms.
    pub batch_age: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            total: 20 << 20,
            tail: 256 << 10,
            batch_lines: 1_000,
            batch_bytes: 64 << 10,
            batch_age: Duration::from_millis(10),
        }
    }
}

#[derive(Debug)]
enum Entry {
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
            // Fails only once the sink is gone, that is after the lease was lost.
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
        let batcher = Batcher {
            readers: [
                LineReader::new(redactor.clone()),
                LineReader::new(redactor.clone()),
                LineReader::new(redactor),
            ],
            target,
            limits,
            next,
            batch: Vec::new(),
            batch_bytes: 0,
            oldest: None,
            kept: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
        };
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

/// The state of the task behind a sink.
struct Batcher {
    /// One for standard output, standard error, and the engine.
    readers: [LineReader; 3],
    target: LogTarget,
    limits: LogLimits,
    next: i64,
    batch: Vec<NewLine>,
    batch_bytes: usize,
    oldest: Option<Instant>,
    /// Bytes of commands' output that were taken into batches.
    kept: usize,
    /// The end of an output that is longer than its limit.
    tail: VecDeque<NewLine>,
    tail_bytes: usize,
    left_out: u64,
}

impl Batcher {
    async fn run(mut self, mut entries: mpsc::Receiver<Entry>) -> Result<(), StoreError> {
        loop {
            let due = self.oldest.map(|oldest| oldest + self.limits.batch_age);
            tokio::select! {
                biased;
                entry = entries.recv() => match entry {
                    Some(Entry::Bytes(stream, bytes)) => {
                        self.take(stream, &bytes);
                        if self.full() {
                            self.write().await?;
                        }
                    }
                    Some(Entry::Flush(done)) => {
                        self.write().await?;
                        let _ = done.send(());
                    }
                    Some(Entry::Close) | None => break,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.write().await?;
                }
            }
            // `biased` prefers entries, so a steady writer must not put off what is due.
            if self
                .oldest
                .is_some_and(|oldest| oldest.elapsed() >= self.limits.batch_age)
            {
                self.write().await?;
            }
        }
        for (index, stream) in [LogStream::Stdout, LogStream::Stderr, LogStream::Engine]
            .into_iter()
            .enumerate()
        {
            for line in self.readers[index].finish() {
                self.line(stream, line.text);
            }
        }
        self.take_tail();
        self.write().await
    }

    fn full(&self) -> bool {
        self.batch.len() >= self.limits.batch_lines || self.batch_bytes >= self.limits.batch_bytes
    }

    fn take(&mut self, stream: LogStream, bytes: &[u8]) {
        let reader = match stream {
            LogStream::Stdout => 0,
            LogStream::Stderr => 1,
            LogStream::Engine | LogStream::Stage => 2,
        };
        for line in self.readers[reader].push(bytes) {
            self.line(stream, line.text);
        }
    }

    /// Takes one line: into the batch, or, when a command has written too much, into
    /// the end that is kept.
    fn line(&mut self, stream: LogStream, text: String) {
        let line = NewLine {
            at: self.target.clock.now(),
            stream,
            text,
        };
        let of_command = matches!(stream, LogStream::Stdout | LogStream::Stderr);
        if !of_command {
            self.take_tail();
        } else if self.kept + line.text.len() > self.limits.total.saturating_sub(self.limits.tail) {
            self.tail_bytes += line.text.len();
            self.tail.push_back(line);
            while self.tail_bytes > self.limits.tail {
                let Some(oldest) = self.tail.pop_front() else {
                    break;
                };
                self.tail_bytes -= oldest.text.len();
                self.left_out += 1;
            }
            return;
        } else {
            self.kept += line.text.len();
        }
        self.add(line);
    }

    fn add(&mut self, line: NewLine) {
        self.batch_bytes += line.text.len();
        self.batch.push(line);
        self.oldest.get_or_insert_with(Instant::now);
    }

    fn take_tail(&mut self) {
        if self.left_out > 0 {
            let text = format!(
                "… {} lines are left out here: the output is longer than {} MiB …",
                self.left_out,
                self.limits.total >> 20
            );
            self.add(NewLine {
                at: self.target.clock.now(),
                stream: LogStream::Engine,
                text,
            });
            self.left_out = 0;
        }
        self.tail_bytes = 0;
        for line in std::mem::take(&mut self.tail) {
            self.add(line);
        }
    }

    /// Writes the batch, as often as it takes: a store that is away for a while holds
    /// the build back, and loses no line.
    async fn write(&mut self) -> Result<(), StoreError> {
        self.oldest = None;
        if self.batch.is_empty() {
            return Ok(());
        }
        let target = &self.target;
        let lines = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let append = || {
            target
                .store
                .append_log(&target.claim, target.deployment, self.next, lines.clone())
        };
        self.next = retry::until_stored(&target.lost, target.claim.job, append).await?;
        target.bus.publish(Hint::Deployment(target.deployment));
        Ok(())
    }
}
