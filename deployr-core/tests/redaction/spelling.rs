//! The ways in which programs write a secret, each from the books of whoever reads it,
//! and none from the code under test.

use base64::Engine as _;
use base64::engine::general_purpose::{
    GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use url::form_urlencoded::byte_serialize;

/// A way to write; `u64` decides wherever a writer has a choice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spelling {
    Plain,
    Base64(usize),
    Hex,
    PercentAll,
    PercentSome,
    PercentPath,
    Form,
    JsonStrict,
    JsonSome,
    Html,
    Shell,
    Source,
    PercentOfBase64,
    JsonOfBase64,
}

const BASE64: [GeneralPurpose; 4] = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];

/// What `encodeURI` and the like escape.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'%')
    .add(b'`');

pub(crate) fn any_spelling() -> impl Strategy<Value = Spelling> {
    use Spelling::*;
    prop::sample::select(vec![
        Plain,
        Plain,
        Base64(0),
        Base64(1),
        Base64(2),
        Base64(3),
        Hex,
        PercentAll,
        PercentSome,
        PercentPath,
        Form,
        JsonStrict,
        JsonSome,
        Html,
        Shell,
        Source,
        PercentOfBase64,
        JsonOfBase64,
    ])
}

/// A fair coin for each character.
struct Coins(u64);

impl Coins {
    fn next(&mut self) -> bool {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0 >> 63 == 1
    }
}

impl Spelling {
    /// The secret, in units that no writer would break a line within.
    pub(crate) fn units(self, secret: &str, choices: u64) -> Vec<String> {
        let mut coins = Coins(choices | 1);
        let chars = || secret.chars();
        let base64 = |text: &str| BASE64[choices as usize % 4].encode(text);
        match self {
            Self::Plain => chars().map(String::from).collect(),
            Self::Base64(engine) => split(&BASE64[engine].encode(secret)),
            Self::Hex if choices.is_multiple_of(2) => split(&hex(secret.as_bytes(), false)),
            Self::Hex => split(&hex(secret.as_bytes(), true)),
            Self::PercentAll => chars().map(|c| percent(c, NON_ALPHANUMERIC)).collect(),
            Self::PercentPath => chars().map(|c| percent(c, PATH)).collect(),
            Self::PercentSome => chars().map(|c| percent_some(c, &mut coins)).collect(),
            Self::Form => chars()
                .map(|c| byte_serialize(c.to_string().as_bytes()).collect())
                .collect(),
            Self::JsonStrict => chars().map(json).collect(),
            Self::JsonSome => chars().map(|c| json_some(c, &mut coins)).collect(),
            Self::Html => chars().map(|c| html(c, &mut coins)).collect(),
            Self::Shell => chars()
                .map(|c| {
                    if c == '\'' {
                        r"'\''".to_owned()
                    } else {
                        c.into()
                    }
                })
                .collect(),
            Self::Source => chars().map(|c| c.escape_debug().collect()).collect(),
            Self::PercentOfBase64 => base64(secret)
                .chars()
                .map(|c| percent(c, NON_ALPHANUMERIC))
                .collect(),
            Self::JsonOfBase64 => base64(secret)
                .chars()
                .map(|c| json_some(c, &mut coins))
                .collect(),
        }
    }
}

fn split(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

pub(crate) fn hex(bytes: &[u8], upper: bool) -> String {
    let digits = |b: &u8| {
        if upper {
            format!("{b:02X}")
        } else {
            format!("{b:02x}")
        }
    };
    bytes.iter().map(digits).collect()
}

fn percent(c: char, set: &'static AsciiSet) -> String {
    utf8_percent_encode(c.encode_utf8(&mut [0; 4]), set).to_string()
}

fn percent_some(c: char, coins: &mut Coins) -> String {
    if !c.is_control() && c != '%' && coins.next() {
        return c.into();
    }
    let upper = coins.next();
    c.to_string()
        .bytes()
        .map(|b| format!("%{}", hex(&[b], upper)))
        .collect()
}

fn json(c: char) -> String {
    let text = serde_json::to_string(&c).unwrap();
    text[1..text.len() - 1].to_owned()
}

/// JSON lets every character be written by its number.
fn json_some(c: char, coins: &mut Coins) -> String {
    match (c, coins.next()) {
        ('/', true) => r"\/".to_owned(),
        (_, true) => {
            let unit = |unit: &u16| match *unit % 2 {
                0 => format!("\\u{unit:04x}"),
                _ => format!("\\u{unit:04X}"),
            };
            c.encode_utf16(&mut [0; 2]).iter().map(unit).collect()
        }
        (_, false) => json(c),
    }
}

fn html(c: char, coins: &mut Coins) -> String {
    let named = match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&apos;",
        _ => "",
    };
    match (c.is_control() || coins.next(), coins.next()) {
        (true, true) => format!("&#{};", u32::from(c)),
        (true, false) => format!("&#x{:x};", u32::from(c)),
        _ if named.is_empty() => c.into(),
        _ => named.to_owned(),
    }
}

/// Whether any stretch of base64 in the text holds `secret`, however it is aligned.
pub(crate) fn in_base64(text: &str, secret: &[u8]) -> bool {
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let values: Vec<Option<u8>> = text.bytes().map(value).collect();
    values.split(Option::is_none).any(|run| {
        (0..4).any(|start| {
            let mut bytes = Vec::new();
            let (mut bits, mut count) = (0u32, 0);
            for value in run.iter().flatten().skip(start) {
                (bits, count) = (bits << 6 | u32::from(*value), count + 6);
                if count >= 8 {
                    count -= 8;
                    bytes.push((bits >> count) as u8);
                }
            }
            contains(&bytes, secret)
        })
    })
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
