//! Turns the raw bytes of an output stream into lines that are safe to keep.

use super::clean::{Cleaner, Kept};
use super::redact::{MASK, Redactor};
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
/// and a piece is cut from text that has been redacted. Of an endless line the
/// last `longest - 1` bytes are held back: a secret that begins before them is
/// seen as a whole. Memory is about two pieces and twice the longest secret form.
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
    /// The start of a character whose other bytes are yet to come.
    undecoded: Vec<u8>,
    cleaner: Cleaner,
    /// Clean text that is yet to be redacted.
    held: String,
    /// Colours and where in `held` they stand, in order.
    colors: Vec<(usize, String)>,
    /// Bytes of `held` for which a mask has been written already.
    masked: usize,
    /// After a carriage return: how many colours stood before it.
    returned: Option<usize>,
    /// Redacted text of the line that is yet to be given out.
    ready: String,
    /// Whether any text of this line has been released, so that a carriage
    /// return can no longer take it back.
    released: bool,
    lines: Vec<Line>,
}

impl LineReader {
    /// A reader at the start of a stream.
    pub fn new(redactor: Arc<Redactor>) -> Self {
        Self {
            redactor,
            undecoded: Vec::new(),
            cleaner: Cleaner::default(),
            held: String::new(),
            colors: Vec::new(),
            masked: 0,
            returned: None,
            ready: String::new(),
            released: false,
            lines: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream and returns the lines they complete.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Line> {
        let mut joined = std::mem::take(&mut self.undecoded);
        let mut bytes = chunk;
        if !joined.is_empty() {
            joined.extend_from_slice(chunk);
            bytes = &joined;
        }
        for part in bytes.utf8_chunks() {
            part.valid().chars().for_each(|c| self.feed(c));
            let broken = part.invalid();
            // Cut by the end of the chunk, or wrong whatever follows?
            match std::str::from_utf8(broken) {
                Err(e) if e.error_len().is_none() && bytes.ends_with(broken) => {
                    self.undecoded = broken.to_vec();
                }
                Err(_) => self.feed(char::REPLACEMENT_CHARACTER),
                Ok(_) => {}
            }
        }
        std::mem::take(&mut self.lines)
    }

    /// Ends the stream and returns what is left, if it did not end with a line end.
    pub fn finish(&mut self) -> Vec<Line> {
        if !std::mem::take(&mut self.undecoded).is_empty() {
            self.feed(char::REPLACEMENT_CHARACTER);
        }
        if self.released || !self.held.is_empty() || !self.colors.is_empty() {
            self.end_line();
        }
        std::mem::take(&mut self.lines)
    }

    fn feed(&mut self, c: char) {
        match c {
            '\n' => self.end_line(),
            '\r' => {
                self.cleaner = Cleaner::default();
                self.returned = Some(self.colors.len());
            }
            c => match self.cleaner.feed(c) {
                None => {}
                Some(Kept::Color(_)) if self.colors.len() >= MAX_COLORS => {}
                Some(Kept::Color(color)) => self.colors.push((self.held.len(), color)),
                Some(kept) => self.text(&kept),
            },
        }
    }

    fn text(&mut self, kept: &Kept) {
        if let Some(before) = self.returned.take() {
            self.start_anew(before);
        }
        kept.write_text(&mut self.held);
        if self.held.len() >= MAX_LINE_BYTES + 2 * self.redactor.longest() {
            let keep = self.redactor.longest().saturating_sub(1);
            let mut end = self.held.len() - keep;
            while !self.held.is_char_boundary(end) {
                end -= 1;
            }
            self.release(end);
        }
    }

    /// Text follows a carriage return: it replaces what the line was so far.
    fn start_anew(&mut self, colors_before: usize) {
        if self.released {
            return self.end_line();
        }
        self.held.clear();
        self.colors.drain(..colors_before);
        self.colors.iter_mut().for_each(|(at, _)| *at = 0);
    }

    /// Gives out the rest of the line and is ready for the next one.
    fn end_line(&mut self) {
        self.release(self.held.len());
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
    }

    /// Redacts the text up to `end`. Every secret that begins there must lie
    /// within `held`; what it covers beyond `end` is remembered as masked.
    fn release(&mut self, end: usize) {
        self.released |= end > 0;
        let continued = self.masked > 0;
        let spans = self.redactor.spans(&self.held, self.masked);
        self.masked = 0;
        let mut at = 0;
        for span in spans.into_iter().take_while(|span| span.start < end) {
            self.write(at, span.start);
            if !(continued && span.start == 0) {
                self.ready.push_str(MASK);
            }
            self.masked = span.end.saturating_sub(end);
            at = span.end.min(end);
        }
        self.write(at, end);
        self.held.drain(..end);
        self.colors.iter_mut().for_each(|(at, _)| *at -= end);
        self.cut_pieces();
    }

    /// Writes `held[from..to]` with its colours, after those of a mask before it.
    fn write(&mut self, mut from: usize, to: usize) {
        let count = self.colors.partition_point(|(at, _)| *at < to);
        for (at, color) in self.colors.drain(..count) {
            self.ready.push_str(&self.held[from..at.max(from)]);
            self.ready.push_str(&color);
            from = from.max(at);
        }
        self.ready.push_str(&self.held[from..to]);
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

/// Shows no text: it is not redacted yet.
impl fmt::Debug for LineReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineReader")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "pure_tests.rs"]
mod tests;
