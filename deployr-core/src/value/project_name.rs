use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::chars::is_hidden;
use super::{InputCode, InvalidValue};

const MAX_CHARS: usize = 64;

/// The name of a project as people see it, in any script.
///
/// Stored in Unicode form NFC without spaces around it, so that names that
/// look the same are the same. For names of files, hosts and containers use
/// the [`Slug`](super::Slug).
///
/// ```
/// use deployr_core::value::ProjectName;
///
/// assert_eq!(ProjectName::parse(" Ćwiczenia 1 ")?.as_str(), "Ćwiczenia 1");
/// assert!(ProjectName::parse("admin\u{200b}").is_err());
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(String);

string_value!(ProjectName);

impl ProjectName {
    /// Parses a display name.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |rule| {
            Err(InvalidValue::new(
                "project_name",
                InputCode::ProjectNameInvalid,
                rule,
                input,
            ))
        };
        let plain = |c: char| {
            !is_hidden(c) && (c.is_alphanumeric() || is_combining_mark(c) || " -_.".contains(c))
        };
        // Cut first: an input of megabytes is not worth normalising.
        let name: String = input.trim().nfc().take(MAX_CHARS + 1).collect();
        match name.as_str() {
            "" => refuse("must not be empty"),
            _ if name.chars().count() > MAX_CHARS => {
                refuse("must not be longer than 64 characters")
            }
            _ if !name.chars().all(plain) => {
                refuse("must only contain letters, digits, spaces, '-', '_' and '.'")
            }
            _ if !name.contains(char::is_alphanumeric) => {
                refuse("must contain a letter or a digit")
            }
            _ if name
                .split(|c: char| !c.is_alphabetic())
                .any(mixes_alphabets) =>
            {
                refuse("must not have words of Latin and of Greek or Cyrillic letters at once")
            }
            _ if name.starts_with(|c| c == '-' || is_combining_mark(c)) => {
                refuse("must not start with '-' or with a lone mark")
            }
            _ => Ok(Self(name)),
        }
    }

    /// What names are told apart by: the same for two that differ in case, or in the
    /// width or style of their letters, only.
    ///
    /// ```
    /// use deployr_core::value::ProjectName;
    ///
    /// assert_eq!(ProjectName::parse("My Blog")?.key(), ProjectName::parse("ｍy BLOG")?.key());
    /// # Ok::<(), deployr_core::value::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn key(&self) -> String {
        self.0.nfkc().flat_map(char::to_lowercase).nfc().collect()
    }
}

/// Letters that look like Latin ones are no harm among their own: `а` in `админ` is read
/// as what it is, and in `аdmin` it is not.
fn mixes_alphabets(word: &str) -> bool {
    let latin = |c| matches!(c, 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{24f}');
    let alike =
        |c| matches!(c, '\u{370}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{1f00}'..='\u{1fff}');
    word.contains(latin) && word.contains(alike)
}
