//! Searches a stream of lines for secrets, with a memory of what came before: neither
//! the end of a write nor the end of a line hides what is cut by it.

use std::ops::Range;

use super::cursor::Cursor;
use super::encoding::Encoding;
use super::redact::{Machine, Needles, Redactor};

/// A place to mask never reaches further back than this from where it is found. (As
/// long as no control characters are written in between; those it may leave bare.)
pub(super) const REACH: usize = 512;

/// The search over one stream.
pub(super) struct Search {
    plain: Cursor,
    /// Readings of the text that differ from the plain one, while they do.
    decoded: [Option<View>; Encoding::ALL.len()],
    /// Bytes of the text that were searched.
    searched: usize,
    spans: Vec<Range<usize>>,
}

impl Search {
    pub(super) fn new() -> Self {
        Self {
            plain: Cursor::default(),
            decoded: [const { None }; Encoding::ALL.len()],
            searched: 0,
            spans: Vec::new(),
        }
    }

    /// Searches what was added to `text` since the last call. `ends`: nothing comes
    /// after it on this line.
    pub(super) fn run(&mut self, redactor: &Redactor, text: &str, ends: bool) {
        let needles = match redactor.machine() {
            Machine::Idle => return,
            Machine::Overloaded => {
                self.spans = Vec::from_iter((!text.is_empty()).then_some(0..text.len()));
                return;
            }
            Machine::Ready(needles) => needles,
        };
        let (bytes, spans) = (text.as_bytes(), &mut self.spans);
        let new = &bytes[self.searched..];
        // Without a shortcut, so that the comparisons are made for many bytes at once.
        let has = |sign| new.iter().fold(false, |any, byte| any | (*byte == sign));
        for (n, encoding) in Encoding::ALL.into_iter().enumerate() {
            // Until its first sign, a text reads the same in every encoding.
            if self.decoded[n].is_none() && has(encoding.sign()) {
                let plain = || View::new(encoding, self.plain.clone(), self.searched);
                let like = encoding
                    .until_sign()
                    .and_then(|like| self.decoded[like as usize].as_ref());
                self.decoded[n] = Some(like.map_or_else(plain, |like| like.read_as(encoding)));
            }
        }
        self.plain
            .search(needles, new, self.searched, |place| cover(spans, place));
        for view in self.decoded.iter_mut().flatten() {
            view.run(needles, bytes, ends, spans);
        }
        self.searched = bytes.len();
        for span in spans {
            // A head may end within a character, and the text go on differently.
            while !text.is_char_boundary(span.start) {
                span.start -= 1;
            }
            while !text.is_char_boundary(span.end) {
                span.end += 1;
            }
        }
    }

    /// The whole line was searched, and is taken away. What is found on the next one may
    /// have begun on it.
    pub(super) fn end_line(&mut self) {
        self.searched = 0;
        self.spans.clear();
        self.plain.end_line();
        for view in &mut self.decoded {
            *view = view.take().and_then(|mut old| {
                old.cursor.end_line();
                // A little after the last sign, it reads the same again.
                let differs = old.cursor != self.plain;
                differs.then(|| View::new(old.encoding, old.cursor, 0))
            });
        }
    }

    /// The places to mask, in order and apart.
    pub(super) fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// The first `end` bytes of the text are taken away.
    pub(super) fn forget(&mut self, end: usize) {
        self.searched = self.searched.saturating_sub(end);
        self.spans.retain_mut(|span| {
            *span = span.start.saturating_sub(end)..span.end.saturating_sub(end);
            span.start < span.end
        });
        for view in self.decoded.iter_mut().flatten() {
            view.forget(end);
        }
    }
}

/// The search in a decoded reading of the text.
struct View {
    encoding: Encoding,
    cursor: Cursor,
    /// How much of the text is decoded, and into how much.
    taken: usize,
    read: usize,
    /// Where each stretch of the reading begins, in it and in the text. Within one,
    /// byte follows byte in both; the text of the first may be gone.
    stretches: Vec<(usize, isize)>,
}

impl View {
    /// A reading that is the text itself before `at`.
    fn new(encoding: Encoding, cursor: Cursor, at: usize) -> Self {
        Self {
            encoding,
            cursor,
            taken: at,
            read: at,
            stretches: vec![(0, 0)],
        }
    }

    /// The same text, in another encoding from here on.
    fn read_as(&self, encoding: Encoding) -> Self {
        Self {
            encoding,
            cursor: self.cursor.clone(),
            stretches: self.stretches.clone(),
            ..*self
        }
    }

    fn run(&mut self, needles: &Needles, text: &[u8], ends: bool, spans: &mut Vec<Range<usize>>) {
        let before = self.read;
        let reading = self.decode(text, ends);
        let stretches = &self.stretches;
        self.cursor.search(needles, &reading, before, |place| {
            let place = in_text(stretches, place.start)..in_text(stretches, place.end);
            cover(spans, place);
        });
    }

    fn decode(&mut self, text: &[u8], ends: bool) -> Vec<u8> {
        let mut reading = Vec::with_capacity(text.len() - self.taken);
        loop {
            let rest = &text[self.taken..];
            let plain = self.encoding.plain(rest);
            reading.extend_from_slice(&rest[..plain]);
            (self.taken, self.read) = (self.taken + plain, self.read + plain);
            let Some(unit) = self.encoding.unit(&rest[plain..], ends) else {
                return reading;
            };
            reading.extend_from_slice(unit.bytes());
            self.stretches.push((self.read, self.taken as isize));
            (self.taken, self.read) = (self.taken + unit.taken, self.read + unit.bytes().len());
            self.stretches.push((self.read, self.taken as isize));
        }
    }

    fn forget(&mut self, end: usize) {
        self.taken = self.taken.saturating_sub(end);
        for (_, start) in &mut self.stretches {
            *start = start.saturating_sub_unsigned(end);
        }
        let reach = -(REACH as isize);
        let old = self.stretches.partition_point(|(_, start)| *start < reach);
        self.stretches.drain(..old.saturating_sub(1));
    }
}

/// Where a byte of a reading is in the text; at its start where that is gone.
fn in_text(stretches: &[(usize, isize)], at: usize) -> usize {
    let next = stretches.partition_point(|(read, _)| *read <= at);
    let (read, start) = stretches[next.saturating_sub(1)];
    let place = start.saturating_add_unsigned(at - read);
    usize::try_from(place).unwrap_or(0)
}

/// Adds a place, and makes one of all that overlap it or touch it.
fn cover(spans: &mut Vec<Range<usize>>, mut new: Range<usize>) {
    let at = spans.partition_point(|span| span.end < new.start);
    let touching = spans[at..]
        .iter()
        .take_while(|span| span.start <= new.end)
        .count();
    for span in spans.drain(at..at + touching) {
        new = new.start.min(span.start)..new.end.max(span.end);
    }
    spans.insert(at, new);
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
