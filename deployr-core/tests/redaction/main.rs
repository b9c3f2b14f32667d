//! A secret does not come out of a log, however it went in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod shelf;
mod spelling;

use std::collections::BTreeMap;
use std::sync::Arc;

use deployr_core::log::{LineReader, LogStream, MASK, Redactor, strip_colors};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use shelf::Shelf;
use spelling::{Spelling, any_spelling, contains, hex, in_base64};

/// Values that people have, and values that try to break a search.
fn secret() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        ".*", "[", "]", "(?i)", "\\", "\\n", "$", "^", "|", "'", "\"", "%", "%2", "%41", "&",
        "&amp;", "+", " ", "/", "=", "==", "\u{202e}", "é", "日本", "🔑", "a", "aa", "Zz9", "\t",
    ]);
    prop_oneof![
        3 => "[A-Za-z0-9_+/=-]{4,64}",
        3 => prop::collection::vec(nasty, 2..12).prop_map(|parts| parts.concat()),
        2 => "\\PC{4,40}",
        1 => prop::collection::vec(any::<char>(), 4..40).prop_map(|chars| without_controls(&chars)),
        1 => "[a-z]{1,3}\n( {0,3}[a-zA-Z0-9+/]{1,70}\r?\n){1,6}",
        1 => "[ -~]{100,600}",
        1 => ("[ab]{1,3}", 4..60usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

/// No variable holds a NUL. And the controls of terminals, among which ASCII's are the
/// only ones in use, would take away parts of what else was escaped.
fn without_controls(chars: &[char]) -> String {
    let kept = |c: &&char| c.is_ascii() && **c != '\0' || !c.is_control();
    chars.iter().filter(kept).collect()
}

/// What a reader sees of a text that is written as it is.
fn shown(text: &str) -> String {
    text.split(['\n', '\r'])
        .map(|line| strip_colors(line).into_owned())
        .collect()
}

fn is_masked(secret: &str) -> bool {
    format!("{:?}", Redactor::new([secret])).contains("secrets: 1")
        && shown(secret.trim()).chars().count() >= 4
}

fn read(redactor: Redactor, text: &str, sizes: &[usize]) -> String {
    let mut reader = LineReader::new(Arc::new(redactor));
    let mut lines = Vec::new();
    for chunk in chunks(text.as_bytes(), sizes) {
        lines.extend(reader.push(chunk));
    }
    lines.extend(reader.finish());
    lines.into_iter().map(|line| line.text).collect()
}

fn chunks<'t>(mut rest: &'t [u8], sizes: &[usize]) -> Vec<&'t [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        let (chunk, tail) = rest.split_at(rest.len().min(*size));
        chunks.push(chunk);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    chunks
}

/// Something written to one of the streams.
#[derive(Debug, Clone)]
struct Piece {
    stderr: bool,
    noise: String,
    secret: usize,
    spelling: Spelling,
    choices: u64,
    /// Lines are ended after these units.
    breaks: Vec<usize>,
    then: String,
}

fn piece() -> impl Strategy<Value = Piece> {
    let noise = "(\\PC|\n|\t|\x1b\\[1m){0,30}";
    (
        any::<bool>(),
        noise,
        0..4usize,
        any_spelling(),
        any::<u64>(),
        prop::collection::vec(0..60usize, 0..3),
        "\n?",
    )
        .prop_map(
            |(stderr, noise, secret, spelling, choices, breaks, then)| Piece {
                stderr,
                noise,
                secret,
                spelling,
                choices,
                breaks,
                then,
            },
        )
}

impl Piece {
    fn text(&self, secrets: &[String]) -> String {
        let secret = &secrets[self.secret % secrets.len()];
        let mut text = self.noise.clone();
        // An escape that is broken off would take the next character with it.
        if text.contains(['%', '\\', '&', '+']) {
            text.push_str("············");
        }
        for (n, unit) in self.spelling.units(secret, self.choices).iter().enumerate() {
            if self.breaks.contains(&n) {
                text.push('\n');
            }
            text.push_str(unit);
        }
        text + &self.then
    }
}

/// Everything in which a reader could find a secret again.
fn readings(text: &str) -> Vec<Vec<u8>> {
    let spaces = text.replace('+', " ");
    vec![
        text.as_bytes().to_vec(),
        percent_decode_str(text).collect(),
        percent_decode_str(&spaces).collect(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Between characters that are none of its own, a secret becomes one mask, and
    /// nothing else changes.
    #[test]
    fn every_spelling_is_masked_and_nothing_else(
        secret in "[ -~àéßж日🔑\u{202e}]{4,60}", spelling in any_spelling(), choices in any::<u64>(),
        before in "[·→]{0,5}", after in "[·→]{0,5}",
        fill in prop::sample::select(vec![0, 16_380, 16_900, 17_400, 40_000]),
        sizes in prop::collection::vec(1..60usize, 1..5),
    ) {
        let secret = secret.trim();
        prop_assume!(is_masked(secret));
        let written = spelling.units(secret, choices).concat();
        let fill = "·".repeat(fill / 2);
        let out = read(Redactor::new([secret]), &format!("{fill}{before}{written}{after}\n"), &sizes);
        prop_assert_eq!(out, format!("{fill}{before}{MASK}{after}"), "{:?} {}", spelling, written);
    }

    /// Within a longer text in base64, whatever is around it.
    #[test]
    fn no_alignment_of_base64_hides_it(
        secret in secret(), before in prop::collection::vec(any::<u8>(), 0..7),
        after in prop::collection::vec(any::<u8>(), 0..7), choices in any::<u64>(),
        width in 0..80usize,
    ) {
        prop_assume!(is_masked(&secret));
        let bytes = [&before[..], secret.as_bytes(), &after[..]].concat();
        let bytes = String::from_utf8_lossy(&bytes).into_owned();
        for engine in 0..4 {
            let mut text = Spelling::Base64(engine).units(&bytes, choices).concat();
            // As `base64 -w` does.
            for at in (1..text.len()).rev().filter(|at| width > 0 && at % width == 0) {
                text.insert(at, '\n');
            }
            let out = read(Redactor::new([secret.as_str()]), &text, &[100]);
            let out = out.replace(MASK, "\0");
            prop_assert!(!in_base64(&out, secret.trim().as_bytes()), "{} in {}", secret, out);
        }
    }

    /// Several secrets, of which some overlap or hold one another, in any spelling, on
    /// both streams by turns, cut anywhere and broken over lines.
    #[test]
    fn neither_a_line_nor_all_lines_together_hold_a_secret(
        mut secrets in prop::collection::vec(secret(), 1..4), cut in 1..10usize,
        pieces in prop::collection::vec(piece(), 1..8),
        sizes in prop::collection::vec(1..300usize, 1..5),
    ) {
        // A part of the first, and one that begins as it ends.
        let chars: Vec<char> = secrets[0].chars().collect();
        secrets.push(chars[..chars.len() - cut.min(chars.len() - 1)].iter().collect());
        secrets.push(chars[cut.min(chars.len() - 1)..].iter().chain(&['x', 'y', 'z', 'z']).collect());
        let writes: Vec<(LogStream, String)> = pieces
            .iter()
            .map(|piece| {
                let stream = if piece.stderr { LogStream::Stderr } else { LogStream::Stdout };
                (stream, piece.text(&secrets))
            })
            .collect();
        let shelf = Shelf::fill(&secrets, &writes, &sizes);
        let lines = secrets.iter().flat_map(|secret| secret.split(['\n', '\r']));
        let lines: Vec<String> = lines.filter(|line| is_masked(line)).map(|line| shown(line.trim())).collect();
        secrets.retain(|secret| is_masked(secret));

        let mut streams: BTreeMap<i64, String> = BTreeMap::new();
        for line in &shelf {
            let text = strip_colors(&line.text).replace(MASK, "\0");
            streams.entry(line.stream.as_number()).or_default().push_str(&text);
            for secret in &lines {
                prop_assert!(!text.contains(secret), "{:?} in {:.200?}", secret, text);
            }
        }
        for text in streams.values() {
            for secret in &secrets {
                let secret = secret.trim();
                for reading in readings(text) {
                    prop_assert!(!contains(&reading, shown(secret).as_bytes()), "{:?} in {:.200?}", secret, text);
                }
                prop_assert!(!in_base64(text, secret.as_bytes()), "{:?} in base64 in {:.200?}", secret, text);
                for upper in [false, true] {
                    prop_assert!(!text.contains(&hex(secret.as_bytes(), upper)), "{:?} in hex in {:.200?}", secret, text);
                }
                for piece in &pieces {
                    let spelled = piece.spelling.units(secret, piece.choices).concat();
                    let spelled = shown(&spelled);
                    prop_assert!(spelled.len() < 4 || !text.contains(&spelled), "{:?} as {:?} in {:.200?}", secret, piece.spelling, text);
                }
            }
        }
    }
}

/// What is said of values that are no secrets, in words for people, in docs/secrets.md.
#[test]
fn short_and_common_values_stay_readable() {
    let values = [
        "true",
        "8080",
        "production",
        "on",
        "42",
        "v20.11.1",
        "127.0.0.1",
        "  ",
    ];
    let line =
        "NODE_ENV=production PORT=8080 DEBUG=true listening on 127.0.0.1:8080, node v20.11.1";
    assert_eq!(Redactor::new(values).redact(line), line);
    let one = |secret: &str, text: &str| Redactor::new([secret]).redact(text).into_owned();
    assert_eq!(
        one("true\nfalse!", "true false! true"),
        "true [redacted] true"
    );
    assert_eq!(one("tru3", "tru3"), MASK);
    assert_eq!(one("80801", "80801 is a port"), "80801 is a port");
    assert_eq!(one("808012", "808012 is none"), "[redacted] is none");
}

/// An error's text is made as safe as a line of the log.
#[test]
fn errors_are_redacted_like_lines() {
    let redactor = Redactor::new(["super-secret", "-----BEGIN\nkeykeykey\n-----END"]);
    let text = "fetch of https://x\x1b[2J?t=super%2dsecret failed:\n  su\x1b[1mper-sec\x1b[mret\nkeykey\nkey\n";
    assert_eq!(
        redactor.redact(text),
        "fetch of https://x?t=[redacted] failed:\n  [redacted]\nkeykey\n[redacted]\n"
    );
    assert!(matches!(
        redactor.redact("plain\ntext"),
        std::borrow::Cow::Borrowed(_)
    ));
}
