//! Secrets, the ways in which programs write them, and the search for any of these.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Given to every project of the test.
pub(crate) const SECRETS: [(&str, &str); 6] = [
    ("TOKEN", "tok/en+5f3k=Q~w8Zr"),
    ("QUOTES", "p'a\"s<s>&w\\o%r d"),
    ("UNICODE", "zażółć-gęślą-🔑-jaźń"),
    (
        "KEY",
        "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQDZ\n-----END KEY-----",
    ),
    (
        "URL",
        "postgres://app:s3cr3t-pw@db.internal:5432/app?sslmode=require&x=1",
    ),
    (
        "LONG",
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789zyxwvutsrqponmlkjihgfedcba",
    ),
];

/// What stood in a variable when an earlier release was made.
pub(crate) const ROTATED: &str = "rotated-away-9f8e7d6c";

/// The password of the repository.
pub(crate) const PASSWORD: &str = "ghs_16C7e42F292c6912E7710c838347Ae178B4a";

fn all() -> impl Iterator<Item = &'static str> {
    let values = SECRETS.iter().map(|(_, value)| *value);
    values.chain([ROTATED, PASSWORD])
}

/// A text with every secret in every form.
pub(crate) fn blurt() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| text_of(all()));
    &TEXT
}

/// What somebody could tell who knows all but the password.
pub(crate) fn blurt_without_password() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| text_of(all().filter(|secret| *secret != PASSWORD)));
    &TEXT
}

fn text_of(secrets: impl Iterator<Item = &'static str>) -> String {
    let forms: Vec<String> = secrets.flat_map(forms).collect();
    format!("begin {} end", forms.join(" | "))
}

/// The first secret, or line of one, that is found in these bytes, with what is before it.
pub(crate) fn find(bytes: &[u8]) -> Option<String> {
    static FORMS: LazyLock<HashMap<[u8; 4], Vec<String>>> = LazyLock::new(|| {
        let mut by_start: HashMap<_, Vec<String>> = HashMap::new();
        for form in all().flat_map(forms).chain(all().flat_map(parts)) {
            let start = *form.as_bytes().first_chunk().unwrap();
            by_start.entry(start).or_default().push(form);
        }
        by_start
    });
    (0..bytes.len()).find_map(|at| {
        let forms = FORMS.get(bytes[at..].first_chunk()?)?;
        let mut found = forms
            .iter()
            .filter(|form| bytes[at..].starts_with(form.as_bytes()));
        found.next().cloned()
    })
}

/// What must not be seen even alone: the lines, and the middle.
fn parts(secret: &str) -> Vec<String> {
    let lines = secret
        .lines()
        .filter(|line| secret.contains('\n') && line.len() > 3);
    lines.map(str::to_owned).collect()
}

fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let json = &json[1..json.len() - 1];
    let numbers = |c: char| {
        c.encode_utf16(&mut [0; 2])
            .iter()
            .map(|u| format!("\\u{u:04x}"))
            .collect::<String>()
    };
    let mut forms = vec![
        secret.to_owned(),
        hex(secret, false),
        hex(secret, true),
        json.to_owned(),
        json.replace('/', "\\/"),
        secret.chars().map(numbers).collect(),
        secret.escape_debug().to_string(),
        secret.bytes().map(|b| percent(b, "")).collect(),
        secret.bytes().map(|b| percent(b, "-_.~/")).collect(),
        secret
            .bytes()
            .map(|b| {
                if b == b' ' {
                    "+".into()
                } else {
                    percent(b, "-_.*")
                }
            })
            .collect(),
        secret
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
        secret.replace('\'', r"'\''"),
    ];
    for url in [false, true] {
        for before in 0..3 {
            // What lies wholly within the secret, wherever it stands in a longer text.
            let bytes = [&b"xy"[..before], secret.as_bytes()].concat();
            forms.push(base64(&bytes, url)[[0, 2, 3][before]..bytes.len() * 8 / 6].to_owned());
        }
    }
    forms
}

fn hex(text: &str, upper: bool) -> String {
    let digits = |b| {
        if upper {
            format!("{b:02X}")
        } else {
            format!("{b:02x}")
        }
    };
    text.bytes().map(digits).collect()
}

fn percent(byte: u8, keep: &str) -> String {
    if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
        char::from(byte).into()
    } else {
        format!("%{byte:02X}")
    }
}

/// Without padding.
fn base64(bytes: &[u8], url: bool) -> String {
    let last = if url { *b"-_" } else { *b"+/" };
    let letters: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(last)
        .collect();
    let groups = bytes.chunks(3).flat_map(|group| {
        let bits = group
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        (0..=group.len()).map(move |n| (bits >> (18 - 6 * n) & 63) as usize)
    });
    groups.map(|value| char::from(letters[value])).collect()
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert_eq!(
        base64(b"super-secret-value", false),
        "c3VwZXItc2VjcmV0LXZhbHVl"
    );
    assert_eq!(base64(b"ab", false), "YWI");
    for form in all().flat_map(forms).chain(parts(SECRETS[3].1)) {
        let text = format!("x{form}y");
        assert!(find(text.as_bytes()).is_some(), "{form}");
    }
    assert_eq!(find(b"nothing of the kind"), None);
}
