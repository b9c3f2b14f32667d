//! Texts written in the characters of another: `%C3%A4`, `\u00e4`, `&lt;`. Decoding
//! what is searched finds a secret whichever of its characters were escaped; a list of
//! escaped forms would hold only those that somebody has thought of.

use super::forms::is_shown;

/// A way to write characters by others.
#[derive(Clone, Copy)]
pub(super) enum Encoding {
    /// `%2F`
    Percent,
    /// `%2F`, and `+` for a space.
    Form,
    /// `\n`, `\"`, `\/`, `\x2f`, `\u002f`, `\u{2f}`, `\057`: JSON, shells, source code.
    Backslash,
    /// `&lt;`, `&#60;`, `&#x3c;`
    Html,
}

/// The longest that one character is ever written.
const MAX_UNIT: usize = 12;

/// One unit of an encoded text.
pub(super) struct Unit {
    bytes: [u8; 4],
    len: usize,
    /// How many bytes of the encoded text it takes.
    pub(super) taken: usize,
}

impl Unit {
    /// What it stands for; nothing where a clean line would not show it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn byte(byte: u8, taken: usize) -> Self {
        let shown = !byte.is_ascii_control() || byte == b'\t';
        Self {
            bytes: [byte, 0, 0, 0],
            len: usize::from(shown),
            taken,
        }
    }

    fn char(c: char, taken: usize) -> Self {
        let mut bytes = [0; 4];
        let len = c.encode_utf8(&mut bytes).len();
        Self {
            bytes,
            len: if is_shown(c) { len } else { 0 },
            taken,
        }
    }
}

/// What decoding the start of a text gives.
enum Start {
    Escape(Unit),
    Plain,
    /// The text ends within what may be an escape.
    Cut,
}

impl Encoding {
    pub(super) const ALL: [Self; 4] = [Self::Percent, Self::Form, Self::Backslash, Self::Html];

    /// The character without which a text decodes to itself.
    pub(super) fn sign(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Form => b'+',
            Self::Backslash => b'\\',
            Self::Html => b'&',
        }
    }

    /// The encoding in which a text reads the same up to the sign, where that is not
    /// the text itself.
    pub(super) fn until_sign(self) -> Option<Self> {
        matches!(self, Self::Form).then_some(Self::Percent)
    }

    /// How many bytes at the start of `text` stand for themselves.
    pub(super) fn plain(self, text: &[u8]) -> usize {
        let escapes = |byte: &u8| match self {
            Self::Form => matches!(byte, b'+' | b'%'),
            _ => *byte == self.sign(),
        };
        text.iter().position(escapes).unwrap_or(text.len())
    }

    /// Decodes the first unit of `text`; none where that is empty, or may be cut off.
    /// With `whole` it is not: nothing comes after.
    pub(super) fn unit(self, text: &[u8], whole: bool) -> Option<Unit> {
        let start = match (self, *text.first()?) {
            (Self::Percent | Self::Form, b'%') => byte(text, 1, 2, 16),
            (Self::Form, b'+') => Start::Escape(Unit::byte(b' ', 1)),
            (Self::Backslash, b'\\') => backslash(text),
            (Self::Html, b'&') => html(text),
            _ => Start::Plain,
        };
        match start {
            Start::Escape(unit) => Some(unit),
            Start::Cut if !whole && text.len() < MAX_UNIT => None,
            Start::Plain | Start::Cut => Some(Unit::byte(text[0], 1)),
        }
    }
}

fn backslash(text: &[u8]) -> Start {
    let Some(&kind) = text.get(1) else {
        return Start::Cut;
    };
    let escape = match kind {
        b'n' | b'r' | b'b' | b'f' | b'a' | b'v' | b'e' => Start::Escape(Unit::byte(b'\n', 2)),
        b't' => Start::Escape(Unit::byte(b'\t', 2)),
        b'x' => byte(text, 2, 2, 16),
        b'0'..=b'7' => match byte(text, 1, 3, 8) {
            Start::Plain if kind == b'0' => Start::Escape(Unit::byte(b'\0', 2)),
            start => start,
        },
        b'u' if text.get(2) == Some(&b'{') => braces(text),
        b'u' => utf16(text),
        b'U' => fixed(text, 2, 8, 16).map_or_else(|start| start, |code| char_of(code, 10)),
        _ => Start::Plain,
    };
    match escape {
        // A shell's: the character after the backslash stands for itself.
        Start::Plain => Start::Escape(Unit::byte(kind, 2)),
        escape => escape,
    }
}

/// `\u{e4}`
fn braces(text: &[u8]) -> Start {
    let (code, count) = digits(&text[3..], 6, 16);
    match text.get(3 + count) {
        Some(b'}') => char_of(code, 4 + count),
        None => Start::Cut,
        Some(_) => Start::Plain,
    }
}

/// `\u00e4`, or two of them for a character beyond 16 bits.
fn utf16(text: &[u8]) -> Start {
    let unit = |at: usize| match text.get(at..at + 2) {
        Some(br"\u") => fixed(text, at + 2, 4, 16),
        Some(_) => Err(Start::Plain),
        None => Err(Start::Cut),
    };
    match unit(0) {
        Ok(high @ 0xd800..0xdc00) => match unit(6) {
            Ok(low @ 0xdc00..0xe000) => {
                char_of(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
            }
            Err(Start::Cut) => Start::Cut,
            _ => char_of(high, 6),
        },
        Ok(code) => char_of(code, 6),
        Err(start) => start,
    }
}

fn html(text: &[u8]) -> Start {
    let inner = &text[1..text.len().min(MAX_UNIT)];
    let Some(end) = inner.iter().position(|b| *b == b';') else {
        return Start::Cut;
    };
    let taken = end + 2;
    let number = |digits: &[u8], radix| {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        u32::from_str_radix(digits, radix).map_or(Start::Plain, |code| char_of(code, taken))
    };
    match &inner[..end] {
        b"amp" => char_of('&'.into(), taken),
        b"lt" => char_of('<'.into(), taken),
        b"gt" => char_of('>'.into(), taken),
        b"quot" => char_of('"'.into(), taken),
        b"apos" => char_of('\''.into(), taken),
        b"nbsp" => char_of('\u{a0}'.into(), taken),
        [b'#', b'x' | b'X', hex @ ..] => number(hex, 16),
        [b'#', decimal @ ..] => number(decimal, 10),
        _ => Start::Plain,
    }
}

/// A byte written in so many digits, from `at` on.
fn byte(text: &[u8], at: usize, count: usize, radix: u32) -> Start {
    match fixed(text, at, count, radix) {
        Ok(value) => Start::Escape(Unit::byte(value as u8, at + count)),
        Err(start) => start,
    }
}

fn fixed(text: &[u8], at: usize, count: usize, radix: u32) -> Result<u32, Start> {
    let text = text.get(at..).ok_or(Start::Cut)?;
    match digits(text, count, radix) {
        (value, found) if found == count => Ok(value),
        (_, found) if found == text.len() => Err(Start::Cut),
        _ => Err(Start::Plain),
    }
}

/// The number at the start of the text, of at most so many digits, and how many it has.
fn digits(text: &[u8], most: usize, radix: u32) -> (u32, usize) {
    let digits = text
        .iter()
        .take(most)
        .map_while(|b| char::from(*b).to_digit(radix));
    digits.fold((0, 0), |(value, count), digit| {
        (value * radix + digit, count + 1)
    })
}

/// Half of a pair is no character.
fn char_of(code: u32, taken: usize) -> Start {
    Start::Escape(Unit::char(
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
        taken,
    ))
}
