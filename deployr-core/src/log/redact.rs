//! Masks secrets in text, also where they appear in an encoded form.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;

use super::clean::strip_colors;
use super::filter::Filter;
use super::forms::{Form, Forms};
use super::split::Lines;

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Shorter secrets are not masked: a mask on every `ok` or `42` makes the log
/// unreadable, and shows by its places what the secret is.
pub const MIN_SECRET_CHARS: usize = 4;

/// What is searched for.
pub(super) struct Needles {
    pub(super) filter: Filter,
    /// Finds the heads of all forms.
    pub(super) automaton: NFA,
    pub(super) start: StateID,
    pub(super) forms: Vec<Form>,
    /// The forms that go on after a head, by its number.
    pub(super) long_forms: Vec<Vec<usize>>,
}

impl Needles {
    fn new(forms: Vec<Form>) -> Result<Self, Box<dyn Error>> {
        let mut by_head: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (number, form) in forms.iter().enumerate() {
            let long = by_head.entry(form.head()).or_default();
            long.extend(form.is_long().then_some(number));
        }
        let automaton = NFA::builder().prefilter(false).build(by_head.keys())?;
        Ok(Self {
            filter: Filter::new(by_head.keys().copied()),
            start: automaton.start_state(Anchored::No)?,
            automaton,
            long_forms: by_head.into_values().collect(),
            forms,
        })
    }
}

/// Whether anything is searched for.
pub(super) enum Machine {
    Idle,
    Ready(Box<Needles>),
    /// Too many secrets: show nothing rather than one of them.
    Overloaded,
}

/// Knows the secrets of a deployment and masks them wherever text leaves it.
///
/// # What is masked
///
/// Every value of at least [`MIN_SECRET_CHARS`] characters, without the spaces around
/// it, wherever it appears, as part of a longer word too; and each line of a value of
/// several lines, because logs are read by line. Not masked are values that anybody
/// would guess: words such as `true`, `production` or `localhost` (a fixed list), and
/// numbers of up to five digits with dots between, as `8080` or `20.11.1`.
///
/// A secret is found as it is, and
///
/// * in base64 (both alphabets, also as part of a longer encoded text) and in hex;
/// * with any of its characters escaped, for a URL, a form, JSON, HTML, a shell or
///   source code, whichever the writer chose to escape; also when that is done to its
///   base64 or hex form;
/// * interrupted by the end of a line. What stood before the line's end is out by then,
///   unless it was 32 bytes or more: so long a beginning of a secret is masked already.
///
/// Where finds overlap or touch, one mask covers them all. Compression, encryption,
/// base32 and the like, two escapings one over the other, and what a hostile build
/// thinks of by itself are not found: who can run commands with a secret can give it away.
///
/// Most of what is searched for is wiped from memory on drop; the first 32 bytes of
/// each form, inside the search automaton, cannot be. Keep a redactor no longer than
/// its deployment.
///
/// ```
/// use deployr_core::log::Redactor;
///
/// let redactor = Redactor::new(["super-secret-value", "production"]);
/// assert_eq!(redactor.redact("TOKEN=super-secret-value"), "TOKEN=[redacted]");
/// assert_eq!(redactor.redact("c3VwZXItc2VjcmV0LXZhbHVl super%2Dsecret%2Dvalue"), "[redacted] [redacted]");
/// assert_eq!(redactor.redact("building for production"), "building for production");
/// ```
pub struct Redactor {
    machine: Machine,
    secrets: usize,
}

impl Redactor {
    /// Prepares the search for `secrets`.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Forms::default();
        let secrets = secrets
            .into_iter()
            .filter(|secret| forms.add_secret(secret))
            .count();
        let forms = forms.take();
        let machine = if forms.is_empty() {
            Machine::Idle
        } else {
            Needles::new(forms).map_or(Machine::Overloaded, |needles| {
                Machine::Ready(Box::new(needles))
            })
        };
        Self { machine, secrets }
    }

    /// The text as the log would show it, without colours: cleaned, and [`MASK`] in
    /// place of each secret. For the output of a program use
    /// [`LineReader`](super::LineReader), which takes it in pieces.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut reader = Lines::new();
        let mut lines = reader.push(self, text.as_bytes());
        lines.extend(reader.finish(self));
        let mut redacted = String::with_capacity(text.len());
        for line in &lines {
            redacted.push_str(&strip_colors(&line.text));
            redacted.push_str(if line.partial { "" } else { "\n" });
        }
        if !text.ends_with('\n') {
            redacted.pop();
        }
        if redacted == text {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(redacted)
        }
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}
