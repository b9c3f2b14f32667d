//! Masks secrets in text, also where they appear in an encoded form.

use super::clean::{clean, strip_colors};
use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use zeroize::{Zeroize as _, Zeroizing};

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Shorter secrets are not masked: a mask on every `ok` or `42` makes the log
/// unreadable, and shows by its places what the secret is.
pub const MIN_SECRET_CHARS: usize = 4;

/// What common encoders leave as it is, besides letters and digits: nothing,
/// RFC 3986, paths, forms, `encodeURIComponent`, user info of a URL, `encodeURI`.
const UNESCAPED: [&str; 7] = [
    "",
    "-_.~",
    "-_.~/",
    "-_.*",
    "-_.!~*'()",
    "-_.!~*'()+,$&%",
    "-_.!~*'();/?:@&=+$,#",
];

/// Knows the secrets of a deployment and masks them wherever text leaves it.
///
/// A secret is found raw, in base64 (both alphabets, also as part of a longer
/// encoded text), percent-encoded, as form value, JSON-escaped and in hex. Each
/// line of a secret of several lines is a secret as well, because logs are read
/// by line. Where finds overlap, one mask covers them all.
///
/// The list of forms is wiped once the search automaton is built. The automaton
/// itself cannot be wiped, so keep a redactor no longer than its deployment.
///
/// ```
/// use deployr_core::log::Redactor;
///
/// let redactor = Redactor::new(["super-secret-value"]);
/// assert_eq!(redactor.redact("TOKEN=super-secret-value"), "TOKEN=[redacted]");
/// assert_eq!(redactor.redact("c3VwZXItc2VjcmV0LXZhbHVl super%2Dsecret%2Dvalue"), "[redacted] [redacted]");
/// ```
pub struct Redactor {
    automaton: Result<AhoCorasick, BuildError>,
    secrets: usize,
    longest: usize,
}

impl Redactor {
    /// Prepares the search for `secrets`; those with fewer than
    /// [`MIN_SECRET_CHARS`] characters are ignored.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Forms::default();
        let mut count = 0;
        for secret in secrets.into_iter().filter(|s| long_enough(s)) {
            count += 1;
            forms.add_secret(secret);
        }
        Self {
            // A DFA, the default for few patterns, takes minutes to build for a long secret.
            automaton: AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&forms.0),
            secrets: count,
            longest: forms.0.iter().map(String::len).max().unwrap_or(0),
        }
    }

    /// Replaces each secret in `text` by [`MASK`]. For the output of a program
    /// use [`LineReader`](super::LineReader), which also finds a secret that is
    /// interrupted by escape sequences or comes in several chunks.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let spans = self.spans(text, 0);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for span in spans {
            out.push_str(&text[at..span.start]);
            out.push_str(MASK);
            at = span.end;
        }
        out.push_str(&text[at..]);
        Cow::Owned(out)
    }

    /// Bytes of the longest form: so much of a text must be seen at once to
    /// find every secret in it.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The places to mask, in order and apart; the first `masked` bytes are one
    /// already. Every occurrence counts, so a place depends on the text near it
    /// only, and not on where the search began.
    pub(super) fn spans(&self, text: &str, masked: usize) -> Vec<Range<usize>> {
        let Ok(automaton) = &self.automaton else {
            // Too many secrets to search for: show nothing rather than one of them.
            return Vec::from_iter((!text.is_empty()).then_some(0..text.len()));
        };
        let mut spans = Vec::from_iter((masked > 0).then_some(0..masked));
        for found in automaton.find_overlapping_iter(text) {
            let mut span = found.range();
            while let Some(last) = spans.pop_if(|last| last.end > span.start) {
                span = span.start.min(last.start)..span.end.max(last.end);
            }
            spans.push(span);
        }
        spans
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

fn long_enough(text: &str) -> bool {
    text.chars().nth(MIN_SECRET_CHARS - 1).is_some()
}

/// All texts to search for; wiped on drop.
#[derive(Default)]
struct Forms(BTreeSet<String>);

impl Drop for Forms {
    fn drop(&mut self) {
        for mut form in std::mem::take(&mut self.0) {
            form.zeroize();
        }
    }
}

impl Forms {
    fn add(&mut self, form: String) {
        let unused = if long_enough(&form) {
            self.0.replace(form)
        } else {
            Some(form)
        };
        drop(unused.map(Zeroizing::new));
    }

    fn add_secret(&mut self, secret: &str) {
        self.add_encodings(secret);
        for line in secret
            .split(['\n', '\r'])
            .map(str::trim)
            .filter(|l| long_enough(l))
        {
            self.add_encodings(line);
            // A log line is searched once it is clean, so search for the clean secret too.
            self.add(clean(line).into_owned());
            self.add(strip_colors(line).into_owned());
        }
    }

    fn add_encodings(&mut self, value: &str) {
        self.add(value.to_owned());
        self.add_base64(value.as_bytes());
        for keep in UNESCAPED {
            for form in [percent(value, keep, false), percent(value, keep, true)] {
                self.add(form.replace("%20", "+"));
                self.add(form);
            }
        }
        for upper in [false, true] {
            self.add(value.bytes().map(|b| hex(b, upper)).collect());
        }
        let json = serde_json::Value::from(value).to_string();
        let json = Zeroizing::new(json[1..json.len() - 1].to_owned());
        self.add(json.to_string());
        self.add(json.replace('/', "\\/"));
        self.add(escape_json(&json, |c| !c.is_ascii()));
        self.add(escape_json(&json, |c| "<>&\u{2028}\u{2029}".contains(c)));
    }

    /// In base64 a character stands for six bits: those that lie within the
    /// secret are the same whatever surrounds it, once for each of the three
    /// places in a group of three bytes where it can begin.
    fn add_base64(&mut self, value: &[u8]) {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for before in 0..3 {
                let bytes = Zeroizing::new([&[0; 2][..before], value].concat());
                let text = Zeroizing::new(engine.encode(&*bytes));
                self.add(text[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned());
            }
            // On its own: with the last character, the padding, and wrapped as
            // `openssl base64` and `base64` do.
            let text = Zeroizing::new(engine.encode(value));
            let padded = Zeroizing::new(format!("{}{}", *text, &"=="[..(3 - value.len() % 3) % 3]));
            for width in [64, 76].into_iter().filter(|width| padded.len() > *width) {
                for start in (0..padded.len()).step_by(width) {
                    self.add(padded[start..padded.len().min(start + width)].to_owned());
                }
            }
            self.add(padded.to_string());
            self.add(text.to_string());
        }
    }
}

fn hex(byte: u8, upper: bool) -> String {
    if upper {
        format!("{byte:02X}")
    } else {
        format!("{byte:02x}")
    }
}

fn percent(value: &str, keep: &str, upper: bool) -> String {
    let kept = |b: u8| b.is_ascii_alphanumeric() || keep.as_bytes().contains(&b);
    let encode = |b| {
        if kept(b) {
            char::from(b).to_string()
        } else {
            format!("%{}", hex(b, upper))
        }
    };
    value.bytes().map(encode).collect()
}

fn escape_json(json: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if escaped(c) {
            out.extend(
                c.encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}")),
            );
        } else {
            out.push(c);
        }
    }
    out
}
