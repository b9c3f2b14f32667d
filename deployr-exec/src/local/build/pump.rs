use std::time::Duration;

use deployr_core::log::{LogStream, LogWriter};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

const CHUNK: usize = 32 * 1024;
/// What is kept of the end, to tell why a command failed.
const TAIL: usize = 16 * 1024;
/// What a pipe can hold at most, unless the administrator allows more.
const PIPE: usize = 1024 * 1024;
/// How long a pipe is read after its command has ended, so that the runtime notices what is
/// still in it.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// Carries one stream of a command into the log, at the pace of the log.
#[derive(Debug)]
pub(super) struct Pump {
    task: JoinHandle<Tail>,
    ended: CancellationToken,
}

impl Pump {
    pub(super) fn start(
        pipe: impl AsyncRead + Unpin + Send + 'static,
        stream: LogStream,
        log: LogWriter,
    ) -> Self {
        let ended = CancellationToken::new();
        let task = tokio::spawn(carry(pipe, stream, log, ended.clone()));
        Self { task, ended }
    }

    /// Carries what is left, once the command has ended.
    pub(super) async fn finish(mut self) -> Tail {
        self.ended.cancel();
        (&mut self.task).await.unwrap_or_default()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut pipe: impl AsyncRead + Unpin + Send,
    stream: LogStream,
    log: LogWriter,
    ended: CancellationToken,
) -> Tail {
    let mut buffer = vec![0; CHUNK];
    let mut tail = Tail::default();
    let (mut left, mut until) = (PIPE, None);
    loop {
        let read = tokio::select! {
            biased;
            // The pipe may be held open by somebody who never ends: from here on only
            // what it holds already.
            () = ended.cancelled() => {
                let until = *until.get_or_insert_with(|| Instant::now() + LAST_LOOK);
                timeout_at(until, pipe.read(&mut buffer)).await.unwrap_or(Ok(0))
            }
            read = pipe.read(&mut buffer) => read,
        };
        let bytes = match read {
            Ok(count @ 1..) if left > 0 => &buffer[..count],
            _ => break,
        };
        if until.is_some() {
            left = left.saturating_sub(bytes.len());
        }
        tail.push(bytes);
        log.write(stream, bytes).await;
    }
    // Its last line ends with it, and not after what comes next.
    if tail.is_cut() {
        log.write(stream, b"\n").await;
    }
    tail
}

/// The end of a command's output.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 4 * TAIL {
            self.0.drain(..self.0.len() - TAIL);
        }
    }

    /// Whether the last line has no end.
    fn is_cut(&self) -> bool {
        self.0.last().is_some_and(|byte| *byte != b'\n')
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Whether one of these words is in it.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        let found = |word: &&str| {
            self.0
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        };
        words.iter().any(found)
    }
}
