//! The texts under which a secret can appear in a line. Those that only escape some of
//! its characters are not among them: see [`encoding`](super::encoding).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::{Zeroize as _, Zeroizing};

use super::clean::visible;
use super::guessable::is_guessable;
use super::redact::MIN_SECRET_CHARS;

/// So many bytes of a form are searched for by the automaton; what comes after is
/// compared. So the automaton stays small whatever the size of the secret.
pub(super) const HEAD: usize = 32;

/// One text to search for.
pub(super) struct Form {
    text: Zeroizing<Vec<u8>>,
    head: usize,
    /// The failure function of Knuth, Morris and Pratt, where the head comes again
    /// within the text; elsewhere a mismatch ends the comparison.
    failures: Option<Box<[u32]>>,
}

impl Form {
    fn new(text: Vec<u8>, head: usize) -> Self {
        let again = text.windows(head).skip(1).any(|part| part == &text[..head]);
        Self {
            failures: again.then(|| failures(&text)),
            text: Zeroizing::new(text),
            head,
        }
    }

    /// What the automaton finds.
    pub(super) fn head(&self) -> &[u8] {
        &self.text[..self.head]
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether anything comes after the head.
    pub(super) fn is_long(&self) -> bool {
        self.head < self.text.len()
    }

    /// How much of the form stands before and including `byte`, when `matched` bytes of
    /// it (the head at least) stood before; none where it is less than the head.
    pub(super) fn go_on(&self, mut matched: usize, byte: u8) -> Option<usize> {
        while self.text.get(matched) != Some(&byte) {
            matched = self.failures.as_ref()?[matched - 1] as usize;
            if matched < self.head {
                return None;
            }
        }
        Some(matched + 1)
    }
}

/// For each length of a prefix: how long its longest end is that is a prefix too.
fn failures(text: &[u8]) -> Box<[u32]> {
    let mut table = vec![0; text.len()];
    let mut border = 0;
    for at in 1..text.len() {
        while border > 0 && text[at] != text[border] {
            border = table[border - 1] as usize;
        }
        border += usize::from(text[at] == text[border]);
        table[at] = u32::try_from(border).unwrap_or(0);
    }
    table.into()
}

/// All forms of a number of secrets, each once.
#[derive(Default)]
pub(super) struct Forms(BTreeMap<Vec<u8>, usize>);

impl Forms {
    /// Adds a secret with its encodings; says whether it is one that is masked at all.
    pub(super) fn add_secret(&mut self, secret: &str) -> bool {
        let secret = secret.trim();
        if !is_maskable(secret) {
            return false;
        }
        self.add_readings(secret);
        if secret.contains('\'') {
            // How a shell, SQL and YAML write a quote within quotes.
            for quoted in [r"'\''", r#"'"'"'"#, "''"] {
                self.add_readings(&Zeroizing::new(secret.replace('\'', quoted)));
            }
        }
        self.add_base64(secret.as_bytes());
        for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            let digit = |nibble: u8| digits[usize::from(nibble & 15)];
            let bytes = secret.bytes().flat_map(|b| [digit(b >> 4), digit(b)]);
            self.add(bytes.collect(), HEAD);
        }
        // Logs are read by line: each line of a key is as secret as the key.
        let lines = secret.split(['\n', '\r']).map(str::trim);
        for line in lines.filter(|line| line.len() < secret.len() && is_maskable(line)) {
            self.add_readings(line);
        }
        true
    }

    /// The forms, for the search.
    pub(super) fn take(mut self) -> Vec<Form> {
        let forms = std::mem::take(&mut self.0).into_iter();
        forms.map(|(text, head)| Form::new(text, head)).collect()
    }

    /// The text as it is read after cleaning (from a terminal's output, where escape
    /// sequences are gone) and after decoding (where only control characters are).
    fn add_readings(&mut self, text: &str) {
        let lines = text.split(['\n', '\r']);
        self.add_text(lines.map(visible).collect());
        self.add_text(text.chars().filter(|c| is_shown(*c)).collect());
        self.add_text(
            text.chars()
                .filter(|c| is_shown(*c) || !c.is_ascii())
                .collect(),
        );
    }

    fn add_text(&mut self, text: String) {
        let mut head = text.len().min(HEAD);
        while !text.is_char_boundary(head) {
            head -= 1;
        }
        self.add(text.into_bytes(), head);
    }

    /// In base64 a character stands for six bits: those that lie within the secret are
    /// the same whatever surrounds it, once for each of the three places in a group of
    /// three bytes where it can begin.
    fn add_base64(&mut self, secret: &[u8]) {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for before in 0..3 {
                let bytes = Zeroizing::new([&[0; 2][..before], secret].concat());
                let mut text = engine.encode(&*bytes).into_bytes();
                let inner = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
                let head = inner.len();
                text.drain(..inner.start);
                if before == 0 {
                    // Not as part of a longer text: with its last character and padding.
                    text.extend(&b"=="[..(3 - secret.len() % 3) % 3]);
                } else {
                    text.truncate(head);
                }
                self.add(text, head);
            }
        }
    }

    fn add(&mut self, text: Vec<u8>, head: usize) {
        let head = head.min(HEAD).min(text.len());
        if head < MIN_SECRET_CHARS {
            drop(Zeroizing::new(text));
            return;
        }
        let known = self.0.entry(text).or_insert(head);
        *known = head.min(*known);
    }
}

impl Drop for Forms {
    fn drop(&mut self) {
        for (mut text, _) in std::mem::take(&mut self.0) {
            text.zeroize();
        }
    }
}

/// Whether a trimmed value, or a line of one, is searched for.
fn is_maskable(text: &str) -> bool {
    text.chars().nth(MIN_SECRET_CHARS - 1).is_some() && !is_guessable(text)
}

/// Whether a character is left of a line once it is clean.
pub(super) fn is_shown(c: char) -> bool {
    !c.is_control() || c == '\t'
}
