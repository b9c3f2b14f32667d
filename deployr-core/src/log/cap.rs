//! How much of a command's output is kept: the beginning and the end.

use std::collections::VecDeque;

use super::LogStream;
use super::batcher::Batch;
use crate::store::NewLine;
use crate::system::Timestamp;

/// Lets lines pass until commands have written too much; from then on only the engine's,
/// and keeps the end of what the commands write.
pub(super) struct Cap {
    /// Of both, in bytes.
    total: usize,
    /// Of the end, in bytes.
    tail_limit: usize,
    /// Bytes of commands' output that have passed.
    passed: usize,
    tail: VecDeque<NewLine>,
    tail_bytes: usize,
    /// Lines that came before the tail and after what has passed.
    left_out: u64,
}

impl Cap {
    pub(super) fn new(total: usize, tail_limit: usize) -> Self {
        Self {
            total,
            tail_limit,
            passed: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
        }
    }

    pub(super) fn pass(&mut self, line: NewLine, batch: &mut Batch) {
        if matches!(line.stream, LogStream::Engine | LogStream::Stage) {
            self.pass_tail(line.at, batch);
        } else if self.passed + size(&line) > self.total.saturating_sub(self.tail_limit) {
            return self.keep_for_the_end(line);
        } else {
            self.passed += size(&line);
        }
        batch.push(line);
    }

    fn keep_for_the_end(&mut self, line: NewLine) {
        self.tail_bytes += size(&line);
        self.tail.push_back(line);
        while self.tail_bytes > self.tail_limit
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= size(&oldest);
            self.left_out += 1;
        }
    }

    /// What was kept of the end, after a line that tells how much is missing before it.
    pub(super) fn pass_tail(&mut self, at: Timestamp, batch: &mut Batch) {
        if self.left_out > 0 {
            let text = format!(
                "… {} lines are left out here: the output is longer than {} MiB …",
                self.left_out,
                self.total >> 20
            );
            batch.push(NewLine {
                at,
                stream: LogStream::Engine,
                text,
            });
        }
        (self.left_out, self.tail_bytes) = (0, 0);
        self.tail.drain(..).for_each(|line| batch.push(line));
    }
}

/// With its end, so that empty lines count too.
fn size(line: &NewLine) -> usize {
    line.text.len() + 1
}
