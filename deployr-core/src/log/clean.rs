//! Makes a line of foreign output safe to show in a terminal or a web page.

use std::borrow::Cow;

/// Parameters of a colour sequence that are longer than this are not colours.
const MAX_PARAMS: usize = 32;

/// What [`Cleaner`] lets through.
pub(super) enum Kept {
    /// A character of the text.
    Char(char),
    /// A character that is shown by its number, because it would reorder the text.
    Escaped(char),
    /// A complete colour sequence.
    Color(String),
}

impl Kept {
    /// Appends what is seen of it; a colour is not.
    pub(super) fn write_text(&self, out: &mut String) {
        match self {
            Self::Char(c) => out.push(*c),
            Self::Escaped(c) => out.extend(c.escape_unicode()),
            Self::Color(_) => {}
        }
    }

    /// Appends it as it came in.
    pub(super) fn write_raw(&self, out: &mut String) {
        if let Self::Char(c) | Self::Escaped(c) = self {
            out.push(*c);
        }
    }
}

/// Appends text that was cleaned but for the characters that would reorder it.
pub(super) fn write_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while !rest.is_ascii()
        && let Some((at, c)) = rest.char_indices().find(|(_, c)| reorders(*c))
    {
        out.push_str(&rest[..at]);
        out.extend(c.escape_unicode());
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest);
}

fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Where in an escape sequence the last character stood.
#[derive(Default)]
enum State {
    #[default]
    Text,
    /// After `ESC`.
    Escape,
    /// After `ESC` and an intermediate character: one final character follows.
    Intermediate,
    /// After `ESC [`; `None` once it cannot be a colour any more.
    Csi(Option<String>),
    /// In an OSC, DCS, SOS, PM or APC string.
    Str,
}

/// The state machine of [`clean`]: one character at a time, in bounded memory,
/// so that a sequence cut by a chunk boundary is still one sequence.
#[derive(Default)]
pub(super) struct Cleaner(State);

impl Cleaner {
    /// Whether the next character is not within a sequence.
    pub(super) fn in_text(&self) -> bool {
        matches!(self.0, State::Text)
    }

    /// Takes the next character of the line.
    pub(super) fn feed(&mut self, c: char) -> Option<Kept> {
        // These begin or end a sequence from within any other one.
        let anywhere = match c {
            '\x1b' => Some(State::Escape),
            '\u{9b}' => Some(State::Csi(None)),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => Some(State::Str),
            '\x18' | '\x1a' | '\u{9c}' => Some(State::Text),
            _ => None,
        };
        if let Some(next) = anywhere {
            self.0 = next;
            return None;
        }
        match (&mut self.0, c) {
            (State::Text, _) => return text(c),
            (State::Str, '\x07') => self.0 = State::Text,
            (State::Str, _) => {}
            (_, c) if c.is_control() => {}
            (State::Escape, '[') => self.0 = State::Csi(Some(String::new())),
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => self.0 = State::Str,
            (State::Escape | State::Intermediate, ' '..='/') => self.0 = State::Intermediate,
            (State::Escape | State::Intermediate, '0'..='~') => self.0 = State::Text,
            (State::Csi(params), ' '..='?') => match params {
                Some(p) if matches!(c, '0'..='9' | ';') && p.len() < MAX_PARAMS => p.push(c),
                _ => *params = None,
            },
            (State::Csi(params), '@'..='~') => {
                let params = params.take().filter(|_| c == 'm');
                self.0 = State::Text;
                return params.map(|p| Kept::Color(format!("\x1b[{p}m")));
            }
            // No sequence has a character beyond ASCII: it was broken off.
            _ => {
                self.0 = State::Text;
                return text(c);
            }
        }
        None
    }
}

/// A character outside of any sequence.
fn text(c: char) -> Option<Kept> {
    match c {
        '\t' => Some(Kept::Char(c)),
        c if c.is_control() => None,
        c if reorders(c) => Some(Kept::Escaped(c)),
        c => Some(Kept::Char(c)),
    }
}

/// Removes from one line what could move the cursor, set the clipboard, make a
/// link, fake other lines or reorder the text; the text itself stays.
///
/// Kept are tabs and colours (`ESC [ digits m`). All other escape sequences are
/// dropped as a whole, an unterminated one up to the end, and so are control
/// characters. Bidi overrides are shown by number. Markup such as `<script>` is
/// text here: who shows it in HTML escapes it.
///
/// ```
/// use deployr_core::log::clean;
///
/// assert_eq!(clean("\x1b[2J\x1b[32mok\x1b[0m"), "\x1b[32mok\x1b[0m");
/// assert_eq!(clean("\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07"), "click");
/// assert_eq!(clean("user\u{202e}txt"), "user\\u{202e}txt");
/// ```
pub fn clean(line: &str) -> Cow<'_, str> {
    filter(line, true)
}

/// [`clean`], and without colours: for files and outputs that are no terminal.
pub fn strip_colors(line: &str) -> Cow<'_, str> {
    filter(line, false)
}

/// What is left of a line for its reader, before anything of it is shown by number.
pub(super) fn visible(line: &str) -> String {
    let mut out = String::new();
    let mut cleaner = Cleaner::default();
    for kept in line.chars().filter_map(|c| cleaner.feed(c)) {
        kept.write_raw(&mut out);
    }
    out
}

fn filter(line: &str, colors: bool) -> Cow<'_, str> {
    if line.chars().all(|c| matches!(text(c), Some(Kept::Char(_)))) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut cleaner = Cleaner::default();
    for kept in line.chars().filter_map(|c| cleaner.feed(c)) {
        match &kept {
            Kept::Color(sgr) if colors => out.push_str(sgr),
            kept => kept.write_text(&mut out),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn drops_all_but_text_and_colors() {
        for (line, want) in [
            ("\x1b]52;c;Y3VybCBldmlsfHNo\x07", ""),
            (
                "\x1b[2J\x1b[1;1H\x1b[32mDeploy\x1b[0m",
                "\x1b[32mDeploy\x1b[0m",
            ),
            ("<script>x</script>\ty", "<script>x</script>\ty"),
            ("a\x1bPq#0\x1b\\b\x1b_x\x1b\\c\x1b^x\x1b\\d", "abcd"),
            ("a\x1b]0;never ends \x1b", "a"),
            ("a\x1b[38;5", "a"),
            ("a\u{9b}31mb\u{9d}t\u{9c}c", "abc"),
            ("a\0b\x08c\x7fd\u{85}e", "abcde"),
            ("a\x1b(Bb\x1b7c", "abc"),
            ("a\x1b[?25lb\x1b[>4;1mc\x1b[3\x1b[1md", "abc\x1b[1md"),
            ("a\x1bäb\x1b[ö", "aäbö"),
            ("grüße 🎉\u{2067}", "grüße 🎉\\u{2067}"),
        ] {
            assert_eq!(clean(line), want, "{line:?}");
        }
        assert_eq!(strip_colors("\x1b[1;32mok\x1b[m"), "ok");
        assert!(matches!(clean("plain ü\t"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn is_idempotent_and_leaves_no_control(line in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f]|\x1b[\\[\\]P]|[0-9;m]){0,60}") {
            let once = clean(&line).into_owned();
            prop_assert_eq!(clean(&once), once.as_str());
            let plain = strip_colors(&line);
            prop_assert!(!plain.contains(|c: char| c.is_control() && c != '\t'));
        }
    }
}
