//! The task behind a sink: gathers lines and has them written, one batch at a time.
//! While the store writes one, the next one grows; so the slower the store, the larger
//! the batches, up to a limit at which the writers are held back.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::cap::Cap;
use super::sink::Entry;
use super::{LineReader, LogLimits, LogStream, LogTarget, Redactor};
use crate::bus::Hint;
use crate::store::{NewLine, StoreResult};
use crate::system::Timestamp;
use crate::{metrics, retry};

/// How much larger a batch may grow while another is being written.
const BACKLOG: usize = 8;

pub(super) struct Batcher {
    /// One for standard output, standard error, and the engine.
    readers: [LineReader; 3],
    target: Arc<LogTarget>,
    limits: LogLimits,
    cap: Cap,
    /// The number of the first line of `batch`, once nothing is being written.
    next: i64,
    batch: Batch,
}

/// A write under way; gives the number of the line after it.
type Write = BoxFuture<'static, StoreResult<i64>>;

impl Batcher {
    pub(super) fn new(
        target: LogTarget,
        next: i64,
        redactor: Arc<Redactor>,
        limits: LogLimits,
    ) -> Self {
        Self {
            readers: [
                LineReader::new(redactor.clone()),
                LineReader::new(redactor.clone()),
                LineReader::new(redactor),
            ],
            target: Arc::new(target),
            cap: Cap::new(limits.total, limits.tail),
            limits,
            next,
            batch: Batch::default(),
        }
    }

    pub(super) async fn run(mut self, mut entries: mpsc::Receiver<Entry>) -> StoreResult<()> {
        let mut write: Option<Write> = None;
        loop {
            let due = self
                .batch
                .oldest
                .map(|oldest| oldest + self.limits.batch_age);
            if write.is_none() && (self.is_full(1) || due.is_some_and(|due| due <= Instant::now()))
            {
                write = Some(self.write());
            }
            tokio::select! {
                biased;
                Some(next) = OptionFuture::from(write.as_mut()) => {
                    write = None;
                    self.next = next?;
                }
                entry = entries.recv(), if write.is_none() || !self.is_full(BACKLOG) => match entry {
                    Some(Entry::Bytes(stream, bytes)) => self.take(stream, &bytes),
                    Some(Entry::Flush(done)) => {
                        self.write_all(write.take()).await?;
                        let _ = done.send(());
                    }
                    Some(Entry::Close) | None => break,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)),
                    if due.is_some() && write.is_none() => {}
            }
        }
        self.finish();
        self.write_all(write).await
    }

    fn is_full(&self, factor: usize) -> bool {
        let Batch { lines, bytes, .. } = &self.batch;
        !lines.is_empty()
            && (lines.len() >= self.limits.batch_lines.saturating_mul(factor)
                || *bytes >= self.limits.batch_bytes.saturating_mul(factor))
    }

    fn take(&mut self, stream: LogStream, bytes: &[u8]) {
        let reader = match stream {
            LogStream::Stdout => 0,
            LogStream::Stderr => 1,
            LogStream::Engine | LogStream::Stage => 2,
        };
        let at = self.target.clock.now();
        for line in self.readers[reader].push(bytes) {
            self.add(at, stream, line.text);
        }
    }

    fn add(&mut self, at: Timestamp, stream: LogStream, text: String) {
        self.cap.pass(NewLine { at, stream, text }, &mut self.batch);
    }

    /// Takes what is left of each stream, and the end of an output that was too long.
    fn finish(&mut self) {
        let at = self.target.clock.now();
        for (index, stream) in [LogStream::Stdout, LogStream::Stderr, LogStream::Engine]
            .into_iter()
            .enumerate()
        {
            for line in self.readers[index].finish() {
                self.add(at, stream, line.text);
            }
        }
        self.cap.pass_tail(at, &mut self.batch);
    }

    /// Writes the batch, as often as it takes, and tells of it: a store that is away for
    /// a while holds the build back, and loses no line.
    fn write(&mut self) -> Write {
        let Batch { lines, oldest, .. } = std::mem::take(&mut self.batch);
        let (target, first) = (self.target.clone(), self.next);
        async move {
            let (claim, deployment) = (target.claim, target.deployment);
            let append = || {
                target
                    .store
                    .append_log(&claim, deployment, first, lines.clone())
            };
            let next =
                retry::until_stored(&target.lost, &target.trouble, claim.job, append).await?;
            let lag = oldest.map_or(Duration::ZERO, |oldest| oldest.elapsed());
            metrics::lines_stored(lines.len(), lag);
            target.bus.publish(Hint::Deployment(deployment));
            Ok(next)
        }
        .boxed()
    }

    /// Waits for the write under way, then writes the batch.
    async fn write_all(&mut self, write: Option<Write>) -> StoreResult<()> {
        if let Some(write) = write {
            self.next = write.await?;
        }
        if !self.batch.lines.is_empty() {
            self.next = self.write().await?;
        }
        Ok(())
    }
}

/// Lines that are written together.
#[derive(Default)]
pub(super) struct Batch {
    lines: Vec<NewLine>,
    /// Length of their texts.
    bytes: usize,
    /// When the first of them came.
    oldest: Option<Instant>,
}

impl Batch {
    pub(super) fn push(&mut self, line: NewLine) {
        self.bytes += line.text.len();
        self.lines.push(line);
        self.oldest.get_or_insert_with(Instant::now);
    }
}
