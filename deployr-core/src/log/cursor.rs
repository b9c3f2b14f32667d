//! The search through one reading of a stream, byte by byte.

use std::ops::Range;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton as _, StateID};

use super::filter::{self, GRAM};
use super::forms::HEAD;
use super::redact::Needles;

/// More forms than this are not compared at the same time: where so many secrets begin
/// with the same text, all that comes after it is masked, to the end of the line.
const MAX_FOLLOWED: usize = 64;

/// Where the search is.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Cursor {
    /// The last four bytes.
    gram: u32,
    /// Where the automaton is, while there is anything for it to find.
    state: StateID,
    /// For how many bytes more there is.
    hunt: usize,
    /// Forms whose head was found, and how much of each stands here.
    following: Vec<(usize, usize)>,
    /// Too many to follow.
    blind: bool,
}

impl Cursor {
    /// Goes over `bytes`, the first of which has number `first`, and gives out every
    /// place to mask. What began before `first` is given from number 0 on at most.
    pub(super) fn search(
        &mut self,
        needles: &Needles,
        bytes: &[u8],
        first: usize,
        mut mask: impl FnMut(Range<usize>),
    ) {
        let mut at = 0;
        while at < bytes.len() {
            if self.hunt == 0 && self.following.is_empty() && !self.blind {
                at += self.skip(needles, &bytes[at..]);
            }
            let Some(byte) = bytes.get(at) else { return };
            at += 1;
            let found = self.step(needles, *byte);
            if found > 0 {
                mask((first + at).saturating_sub(found)..first + at);
            }
        }
    }

    /// Passes over bytes up to the one with which something may have begun.
    fn skip(&mut self, needles: &Needles, bytes: &[u8]) -> usize {
        let mut gram = self.gram;
        for (at, byte) in bytes.iter().enumerate() {
            let next = filter::push(gram, *byte);
            if needles.filter.may_begin(next) {
                self.gram = gram;
                return at;
            }
            gram = next;
        }
        self.gram = gram;
        bytes.len()
    }

    /// Takes the next byte; gives how many bytes, up to this one, are to be masked
    /// beside those that are already.
    fn step(&mut self, needles: &Needles, byte: u8) -> usize {
        let mut found = usize::from(self.blind);
        self.following.retain_mut(|(form, matched)| {
            let more = needles.forms[*form].go_on(*matched, byte);
            *matched = more.unwrap_or_default();
            found |= usize::from(more.is_some());
            more.is_some()
        });
        self.gram = filter::push(self.gram, byte);
        let begins = needles.filter.may_begin(self.gram);
        if self.hunt > 0 {
            self.hunt -= 1;
            self.state = needles.automaton.next_state(Anchored::No, self.state, byte);
        } else if begins {
            self.state = self
                .gram
                .to_be_bytes()
                .iter()
                .fold(needles.start, |state, byte| {
                    needles.automaton.next_state(Anchored::No, state, *byte)
                });
        }
        if needles.automaton.is_match(self.state) {
            found = found.max(self.found_heads(needles));
        }
        if begins {
            self.hunt = HEAD - GRAM;
        }
        if self.hunt == 0 {
            self.state = StateID::default();
        }
        found
    }

    fn found_heads(&mut self, needles: &Needles) -> usize {
        let mut longest = 0;
        for index in 0..needles.automaton.match_len(self.state) {
            let head = needles.automaton.match_pattern(self.state, index);
            let length = needles.automaton.pattern_len(head);
            longest = longest.max(length);
            for form in &needles.long_forms[head] {
                if self.following.len() == MAX_FOLLOWED {
                    self.blind = true;
                    return longest;
                }
                if self.following.iter().all(|(known, _)| known != form) {
                    self.following.push((*form, length));
                }
            }
        }
        longest
    }

    pub(super) fn end_line(&mut self) {
        self.blind = false;
    }
}
