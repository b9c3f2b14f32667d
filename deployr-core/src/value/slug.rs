use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::{InputCode, InvalidValue, ProjectName};

const MAX_BYTES: usize = 63;
/// Leaves room for what previews append, as in `my-app--pr-12`.
const MAX_DERIVED: usize = 40;

/// Names that visitors and their programs take for the operator's own: where mail, name
/// servers, proxies and sign-in are looked for.
const RESERVED: [&str; 26] = [
    "admin",
    "api",
    "auth",
    "autoconfig",
    "autodiscover",
    "console",
    "dashboard",
    "deployr",
    "dns",
    "ftp",
    "imap",
    "isatap",
    "localhost",
    "login",
    "mail",
    "mx",
    "ns1",
    "ns2",
    "pop",
    "postmaster",
    "root",
    "smtp",
    "status",
    "webmail",
    "wpad",
    "www",
];

/// One DNS label in lower case: a subdomain, and the name of a project
/// wherever machines read it.
///
/// ```
/// use deployr_core::value::{ProjectName, Slug};
///
/// assert_eq!(Slug::parse("SHOP")?.as_str(), "shop");
/// let name = ProjectName::parse("Łódź 2.0")?;
/// assert_eq!(Slug::from_name(&name).as_str(), "lodz-2-0");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

string_value!(Slug);

impl Slug {
    /// Parses a label; upper case is turned into lower case.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |rule| {
            Err(InvalidValue::new(
                "subdomain",
                InputCode::SubdomainInvalid,
                rule,
                input,
            ))
        };
        let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if input.is_empty() || input.len() > MAX_BYTES {
            return refuse("must have 1 to 63 characters");
        }
        if !input.bytes().all(label) {
            return refuse("must only contain letters a-z, digits and '-'");
        }
        if input.starts_with('-') || input.ends_with('-') {
            return refuse("must not start or end with '-'");
        }
        let slug = input.to_ascii_lowercase();
        if slug.starts_with("xn--") {
            return refuse("must not be an encoded international name");
        }
        Ok(Self(slug))
    }

    /// Whether the operator keeps it, and no project may have it for its host name.
    ///
    /// ```
    /// use deployr_core::value::Slug;
    ///
    /// assert!(Slug::parse("WWW")?.is_reserved() && !Slug::parse("www-2")?.is_reserved());
    /// # Ok::<(), deployr_core::value::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        RESERVED.contains(&self.as_str())
    }

    /// A label made from a display name: accents dropped, everything else that
    /// a label cannot hold turned into single hyphens.
    ///
    /// Different names can give the same label, so it must be checked for
    /// being taken. A name with no Latin letter or digit gives `project`.
    pub fn from_name(name: &ProjectName) -> Self {
        let mut slug = String::new();
        for c in name.as_str().nfkd().flat_map(char::to_lowercase) {
            if slug.len() >= MAX_DERIVED {
                break;
            }
            match c {
                'a'..='z' | '0'..='9' => slug.push(c),
                _ if unicode_normalization::char::is_combining_mark(c) => {}
                _ => match undecomposed(c) {
                    Some(ascii) => slug.push_str(ascii),
                    None if slug.is_empty() || slug.ends_with('-') => {}
                    None => slug.push('-'),
                },
            }
        }
        slug.truncate(MAX_DERIVED);
        slug.truncate(slug.trim_end_matches('-').len());
        if slug.is_empty() {
            Self("project".to_owned())
        } else {
            Self(slug)
        }
    }
}

/// Latin letters that Unicode does not split into a base letter and a mark.
fn undecomposed(c: char) -> Option<&'static str> {
    Some(match c {
        'ł' => "l",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        _ => return None,
    })
}
