//! What a repository's `.dockerignore` leaves out of its image, by Docker's own rules.

use std::fs;
use std::path::Path;

use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};

const FILE: &str = ".dockerignore";
/// More than anybody writes, and little enough to be looked through for each file.
const LARGEST: u64 = 16 << 10;

/// The patterns of a `.dockerignore`, in order: the last that fits a path decides.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Whether it takes back what an earlier one has left out (`!`).
    keeps: bool,
    pattern: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    One(char),
    /// `?`: one character, but no `/`.
    Any,
    /// `*`: any number of them.
    Star,
    /// `**`: any number of whatever.
    Deep,
    /// `**/`: any number of whole folders.
    Folders,
    /// `[a-z]`, `[^a-z]`.
    Class(bool, Vec<(char, char)>),
}

impl Ignore {
    /// The one of a folder; nothing where it has none. A link is none.
    pub(super) fn of(folder: &Path) -> StepResult<Self> {
        let path = folder.join(FILE);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => meta,
            _ => return Ok(Self::default()),
        };
        if meta.len() > LARGEST {
            let message = format!("{FILE} is larger than {LARGEST} bytes; make it shorter");
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        }
        let text = fs::read(&path).map_err(|error| Fault::io("read", path.display(), error))?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let rule = |line: &str| {
            let line = line.trim();
            let (keeps, path) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let parts = path
                .split('/')
                .filter(|part| !part.is_empty() && *part != ".");
            let pattern = tokens(&parts.collect::<Vec<_>>().join("/"));
            (!pattern.is_empty()).then_some(Rule { keeps, pattern })
        };
        Self {
            rules: lines.filter_map(rule).collect(),
        }
    }

    /// Whether a path of the folder stays away. What builds the image is always there: Docker
    /// leaves it out itself, once it has read it.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        if path == Path::new(FILE) || path == Path::new("Dockerfile") {
            return false;
        }
        let path = path.to_string_lossy();
        let deciding = self.rules.iter().rev();
        let mut deciding = deciding.filter(|rule| fits(&rule.pattern, &path));
        deciding.next().is_some_and(|rule| !rule.keeps)
    }

    /// Whether something in a folder that stays away may be there all the same.
    pub(super) fn may_keep(&self) -> bool {
        self.rules.iter().any(|rule| rule.keeps)
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '*' if rest.starts_with("**/") => (Token::Folders, 3),
            '*' if rest.starts_with("**") => (Token::Deep, 2),
            '*' => (Token::Star, 1),
            '?' => (Token::Any, 1),
            '[' => class(rest).unwrap_or((Token::One('['), 1)),
            '\\' => match rest.chars().nth(1) {
                Some(next) => (Token::One(next), 1 + next.len_utf8()),
                None => (Token::One('\\'), 1),
            },
            other => (Token::One(other), other.len_utf8()),
        };
        // One that follows itself says no more.
        if !(token == Token::Folders && tokens.last() == Some(&token)) {
            tokens.push(token);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    tokens
}

/// A class, and how long it is.
fn class(text: &str) -> Option<(Token, usize)> {
    let end = text.find(']')?;
    let inner = text.get(1..end)?;
    let (not, inner) = match inner.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, inner),
    };
    let mut ranges = Vec::new();
    let mut chars = inner.chars().peekable();
    while let Some(first) = chars.next() {
        let mut last = first;
        if chars.peek() == Some(&'-') {
            chars.next();
            last = chars.next()?;
        }
        ranges.push((first, last));
    }
    (!ranges.is_empty()).then_some((Token::Class(not, ranges), end + 1))
}

/// Whether a pattern fits a path, or a folder that it is in. Walks through the path once, at all
/// places of the pattern that it can be at: no pattern makes it take longer than its length.
fn fits(pattern: &[Token], path: &str) -> bool {
    let mut at = vec![false; pattern.len() + 1];
    enter(pattern, &mut at, 0);
    let is_whole = |at: &[bool]| at.last() == Some(&true);
    for next in path.chars() {
        if next == '/' && is_whole(&at) {
            return true;
        }
        let mut then = vec![false; at.len()];
        for (place, token) in pattern.iter().enumerate().filter(|(place, _)| at[*place]) {
            match token {
                Token::Star if next != '/' => enter(pattern, &mut then, place),
                Token::Deep => enter(pattern, &mut then, place),
                Token::Folders => {
                    then[place] = true;
                    if next == '/' {
                        enter(pattern, &mut then, place + 1);
                    }
                }
                token if is(token, next) => enter(pattern, &mut then, place + 1),
                _ => {}
            }
        }
        if !then.contains(&true) {
            return false;
        }
        at = then;
    }
    is_whole(&at)
}

/// Comes to a place of the pattern, and past what may stand for nothing.
fn enter(pattern: &[Token], at: &mut [bool], place: usize) {
    let rest = pattern.get(place..).unwrap_or_default();
    let empty = |token: &&Token| matches!(token, Token::Star | Token::Deep | Token::Folders);
    let past = rest.iter().take_while(empty).count();
    if let Some(places) = at.get_mut(place..=place + past) {
        places.fill(true);
    }
}

fn is(token: &Token, next: char) -> bool {
    match token {
        Token::One(one) => *one == next,
        Token::Any => next != '/',
        Token::Class(not, ranges) => {
            let inside = ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&next));
            next != '/' && inside != *not
        }
        Token::Star | Token::Deep | Token::Folders => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_docker_says_they_do() {
        for (pattern, path, out) in [
            ("dist", "dist", true),
            ("dist", "dist/a/b", true),
            ("dist", "src/dist", false),
            ("dist", "distant", false),
            ("/dist/", "dist/a", true),
            ("./dist", "dist", true),
            ("*/temp*", "a/temporary.txt", true),
            ("*/temp*", "a/b/temp", false),
            ("*.md", "README.md", true),
            ("*.md", "docs/a.md", false),
            ("**/*.md", "README.md", true),
            ("**/*.md", "docs/x/a.md", true),
            ("**/node_modules", "a/b/node_modules/c", true),
            ("**/node_modules", "my_node_modules", false),
            ("docs/**", "docs/a/b", true),
            ("docs/**/x", "docs/x", true),
            ("docs/**/x", "docs/a/b/x", true),
            ("docs/**/x", "docs/ax", false),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("[a-c]1", "b1", true),
            ("[^a-c]1", "b1", false),
            ("a[", "a[", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("é*", "éa", true),
            ("#dist", "#dist", false),
            ("", "a", false),
            (".", "a", false),
            ("**", "a/b", true),
            ("*", "Dockerfile", false),
            ("*", ".dockerignore", false),
        ] {
            let found = Ignore::parse(pattern).leaves_out(Path::new(path));
            assert_eq!(found, out, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_that_fits_decides() {
        let ignore = Ignore::parse("*.md\n!README*.md\n  README-secret.md  \n");
        let out = |path: &str| ignore.leaves_out(Path::new(path));
        assert!(out("a.md") && !out("README.md") && out("README-secret.md"));
        assert!(ignore.may_keep() && !Ignore::parse("a").may_keep());
        let whole = Ignore::parse("*\n!src\n");
        assert!(!whole.leaves_out(Path::new("src/main.js")));
    }

    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let hostile = "*a".repeat(2_000);
        let path = "a".repeat(2_000);
        assert!(!Ignore::parse(&format!("{hostile}b")).leaves_out(Path::new(&path)));
        let deep = format!("{}x", "**/".repeat(500));
        assert!(!Ignore::parse(&deep).leaves_out(Path::new("a/b/c")));
    }
}
