//! Turns the raw bytes of an output stream into lines that are safe to keep.

use super::clean::{Cleaner, Kept, write_escaped};
use super::redact::{MASK, Redactor};
use super::search::{REACH, Search};
use std::fmt;
use std::sync::Arc;

/// A longer line is given out in pieces of at most this size.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Colours beyond this number in the text that is held back are dropped, so
/// that a flood of them needs no memory.
const MAX_COLORS: usize = 512;

/// A line of output: clean, redacted, of bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text without line end.
    pub text: String,
    /// Whether the next line continues this one, which was too long for one piece.
    pub partial: bool,
}

/// Reads one output stream (one reader each for stdout and stderr) into [`Line`]s.
///
/// Each character passes these steps in this order: decode (invalid UTF-8 becomes
/// U+FFFD), split at line ends, [`clean`](super::clean()), redact, cut into pieces.
/// So cleaning cannot join the parts of a secret after the search for it, colours
/// within a secret do not hide it (the search is on the text without colours),
/// and a piece is cut from text that has been redacted. The search remembers what it
/// has seen, over chunks and lines; of an endless line only the last 512 bytes are held
/// back. Memory is about two pieces, and the longest chunk.
///
/// A bare carriage return starts the line anew, as a progress bar does: the last
/// text that is not empty stays.
///
/// ```
/// use deployr_core::log::{LineReader, Redactor};
/// use std::sync::Arc;
///
/// let mut reader = LineReader::new(Arc::new(Redactor::new(["super-secret"])));
/// let mut lines = reader.push(b"10%\r100%\r\ntoken sup\x1b[0mer-");
/// lines.extend(reader.push(b"secret"));
/// lines.extend(reader.finish());
/// let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
/// assert_eq!(texts, ["100%", "token [redacted]\x1b[0m"]);
/// ```
pub struct LineReader {
    redactor: Arc<Redactor>,
    lines: Lines,
}

impl LineReader {
    /// A reader at the start of a stream.
    pub fn new(redactor: Arc<Redactor>) -> Self {
        Self {
            redactor,
            lines: Lines::new(),
        }
    }

    /// Takes the next bytes of the stream and returns the lines they complete.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Line> {
        self.lines.push(&self.redactor, chunk)
    }

    /// Ends the stream and returns what is left, if it did not end with a line end.
    pub fn finish(&mut self) -> Vec<Line> {
        self.lines.finish(&self.redactor)
    }
}

/// Shows no text: it is not redacted yet.
impl fmt::Debug for LineReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineReader")
            .field("held", &self.lines.held.len())
            .finish_non_exhaustive()
    }
}

/// The state of a reader; every call must be given the same redactor.
pub(super) struct Lines {
    /// The start of a character whose other bytes are yet to come.
    undecoded: Vec<u8>,
    cleaner: Cleaner,
    /// Clean text that is yet to be redacted; characters that would reorder it are
    /// still as they were.
    held: String,
    /// Colours and where in `held` they stand, in order.
    colors: Vec<(usize, String)>,
    search: Search,
    /// Whether what was taken from `held` last ended in a mask.
    masked: bool,
    /// After a carriage return: how many colours stood before it.
    returned: Option<usize>,
    /// Redacted text of the line that is yet to be given out.
    ready: String,
    /// Whether any text of this line has been released, so that a carriage
    /// return can no longer take it back.
    released: bool,
    lines: Vec<Line>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            undecoded: Vec::new(),
            cleaner: Cleaner::default(),
            held: String::new(),
            colors: Vec::new(),
            search: Search::new(),
            masked: false,
            returned: None,
            ready: String::new(),
            released: false,
            lines: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, redactor: &Redactor, chunk: &[u8]) -> Vec<Line> {
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            match self.plain(part) {
                Some(text) => self.push_plain(redactor, text, part.ends_with(b"\n")),
                None => self.push_any(redactor, part),
            }
        }
        std::mem::take(&mut self.lines)
    }

    pub(super) fn finish(&mut self, redactor: &Redactor) -> Vec<Line> {
        if !std::mem::take(&mut self.undecoded).is_empty() {
            self.feed(redactor, char::REPLACEMENT_CHARACTER);
        }
        if self.released || !self.held.is_empty() || !self.colors.is_empty() {
            self.end_line(redactor);
        }
        std::mem::take(&mut self.lines)
    }

    /// The text of a line, or the part of one, that stays as it is.
    fn plain<'t>(&self, part: &'t [u8]) -> Option<&'t str> {
        if !self.undecoded.is_empty() || self.returned.is_some() || !self.cleaner.in_text() {
            return None;
        }
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        // What is cleaned begins with one of these bytes. No shortcut, so that the
        // comparisons are made for many bytes at once.
        let special = |b: u8| (b < b' ' && b != b'\t') || matches!(b, 0x7f | 0xc2 | 0xe2);
        let any = part.iter().fold(false, |any, byte| any | special(*byte));
        if any {
            None
        } else {
            std::str::from_utf8(part).ok()
        }
    }

    fn push_plain(&mut self, redactor: &Redactor, text: &str, ends: bool) {
        self.held.push_str(text);
        self.release_overflow(redactor);
        if ends {
            self.end_line(redactor);
        }
    }

    fn push_any(&mut self, redactor: &Redactor, part: &[u8]) {
        let mut joined = std::mem::take(&mut self.undecoded);
        joined.extend_from_slice(part);
        let mut parts = joined.utf8_chunks().peekable();
        while let Some(part) = parts.next() {
            part.valid().chars().for_each(|c| self.feed(redactor, c));
            let broken = part.invalid();
            // Cut by the end of the chunk, or wrong whatever follows?
            match std::str::from_utf8(broken) {
                Err(e) if e.error_len().is_none() && parts.peek().is_none() => {
                    self.undecoded = broken.to_vec();
                }
                Err(_) => self.feed(redactor, char::REPLACEMENT_CHARACTER),
                Ok(_) => {}
            }
        }
    }

    fn feed(&mut self, redactor: &Redactor, c: char) {
        match c {
            '\n' => self.end_line(redactor),
            '\r' => {
                self.cleaner = Cleaner::default();
                self.returned = Some(self.colors.len());
            }
            c => match self.cleaner.feed(c) {
                None => {}
                Some(Kept::Color(_)) if self.colors.len() >= MAX_COLORS => {}
                Some(Kept::Color(color)) => self.colors.push((self.held.len(), color)),
                Some(kept) => {
                    if let Some(before) = self.returned.take() {
                        self.start_anew(redactor, before);
                    }
                    kept.write_raw(&mut self.held);
                    self.release_overflow(redactor);
                }
            },
        }
    }

    /// Text follows a carriage return: it replaces what the line was so far.
    fn start_anew(&mut self, redactor: &Redactor, colors_before: usize) {
        if self.released {
            return self.end_line(redactor);
        }
        self.held.clear();
        self.colors.drain(..colors_before);
        self.colors.iter_mut().for_each(|(at, _)| *at = 0);
    }

    /// Gives out the rest of the line and is ready for the next one.
    fn end_line(&mut self, redactor: &Redactor) {
        self.search.run(redactor, &self.held, true);
        self.release(self.held.len());
        self.search.end_line();
        for (_, color) in self.colors.drain(..) {
            self.ready.push_str(&color);
        }
        self.cut_pieces();
        let text = std::mem::take(&mut self.ready);
        self.lines.push(Line {
            text,
            partial: false,
        });
        self.cleaner = Cleaner::default();
        self.returned = None;
        self.released = false;
        self.masked = false;
    }

    /// Nothing that is found later reaches back into what is released here.
    fn release_overflow(&mut self, redactor: &Redactor) {
        if self.held.len() < MAX_LINE_BYTES + 2 * REACH {
            return;
        }
        self.search.run(redactor, &self.held, false);
        let mut end = self.held.len() - REACH;
        while !self.held.is_char_boundary(end) {
            end -= 1;
        }
        self.release(end);
    }

    /// Moves what was searched up to `end` into `ready`, with masks.
    fn release(&mut self, end: usize) {
        self.released |= end > 0;
        let mut at = 0;
        let mut masked = false;
        let spans = self.search.spans().to_vec();
        for span in spans.into_iter().take_while(|span| span.start < end) {
            self.write(at, span.start);
            if span.start > 0 || !self.masked {
                self.ready.push_str(MASK);
            }
            masked = span.end >= end;
            at = span.end.min(end);
        }
        self.write(at, end);
        self.masked = masked;
        self.held.drain(..end);
        self.search.forget(end);
        self.colors.iter_mut().for_each(|(at, _)| *at -= end);
        self.cut_pieces();
    }

    /// Writes `held[from..to]` with its colours, after those of a mask before it.
    fn write(&mut self, mut from: usize, to: usize) {
        let count = self.colors.partition_point(|(at, _)| *at < to);
        for (at, color) in self.colors.drain(..count) {
            write_escaped(&self.held[from..at.max(from)], &mut self.ready);
            self.ready.push_str(&color);
            from = from.max(at);
        }
        write_escaped(&self.held[from..to], &mut self.ready);
    }

    fn cut_pieces(&mut self) {
        while self.ready.len() > MAX_LINE_BYTES {
            let mut end = MAX_LINE_BYTES;
            while !self.ready.is_char_boundary(end) {
                end -= 1;
            }
            // A colour stays whole; it is far shorter than a piece.
            if let Some(esc) = self.ready[..end]
                .rfind('\x1b')
                .filter(|esc| !self.ready[*esc..end].contains('m'))
            {
                end = esc;
            }
            let rest = self.ready.split_off(end);
            let text = std::mem::replace(&mut self.ready, rest);
            self.lines.push(Line {
                text,
                partial: true,
            });
        }
    }
}

#[cfg(test)]
#[path = "pure_tests.rs"]
mod tests;
