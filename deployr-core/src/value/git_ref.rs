use std::fmt;

use serde::{Deserialize, Serialize};

use super::chars::{is_hidden, is_shell_meta};
use super::{CommitId, InputCode, InvalidValue};

const MAX_BYTES: usize = 255;
/// Git writes `<part>.lock` beside a ref, and file names end at 255 bytes.
const MAX_PART_BYTES: usize = 250;

/// The name of a branch, without `refs/heads/`.
///
/// Takes what git takes, except for characters that mean something to a shell
/// and names that mean something else to git's own command line.
///
/// ```
/// use deployr_core::value::BranchName;
///
/// assert!(BranchName::parse("dependabot/npm/@types/node-20.1.0").is_ok());
/// assert!(BranchName::parse("main:refs/heads/other").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

string_value!(BranchName);

impl BranchName {
    /// Parses a branch name.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        check("branch", InputCode::BranchInvalid, input.as_ref()).map(Self)
    }

    /// `main`, which is meant where nobody says anything else.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }
}

/// The name of a tag, without `refs/tags/`; the rules are those of branches.
///
/// ```
/// use deployr_core::value::TagName;
///
/// assert!(TagName::parse("v1.2.3").is_ok());
/// assert!(TagName::parse("v1 final").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagName(String);

string_value!(TagName);

impl TagName {
    /// Parses a tag name.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        check("tag", InputCode::TagInvalid, input.as_ref()).map(Self)
    }
}

/// What to deploy: the tip of a branch, a tag, or one commit.
///
/// ```
/// use deployr_core::value::{BranchName, GitRef};
///
/// let main = GitRef::Branch(BranchName::parse("main")?);
/// assert_eq!(main.to_string(), "main");
/// assert_eq!(main.full_name(), "refs/heads/main");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum GitRef {
    /// The tip of a branch at the time of the fetch.
    Branch(BranchName),
    /// What a tag points to.
    Tag(TagName),
    /// Exactly one commit.
    Commit(CommitId),
}

impl GitRef {
    /// The name without its kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Branch(name) => name.as_str(),
            Self::Tag(name) => name.as_str(),
            Self::Commit(id) => id.as_str(),
        }
    }

    /// The name git cannot mistake for another kind: `refs/heads/…`,
    /// `refs/tags/…` or the whole commit id.
    pub fn full_name(&self) -> String {
        match self {
            Self::Branch(name) => format!("refs/heads/{name}"),
            Self::Tag(name) => format!("refs/tags/{name}"),
            Self::Commit(id) => id.to_string(),
        }
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn check(field: &'static str, code: InputCode, name: &str) -> Result<String, InvalidValue> {
    match broken_rule(name) {
        Some(rule) => Err(InvalidValue::new(field, code, rule, name)),
        None => Ok(name.to_owned()),
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let bad_part = |part: &str| {
        part.is_empty()
            || part.starts_with('.')
            || part.ends_with(".lock")
            || part.len() > MAX_PART_BYTES
    };
    let rule = match name {
        "" => "must not be empty",
        "@" | "HEAD" => "must not be a name that git gives a meaning",
        _ if name.len() > MAX_BYTES => "must not be longer than 255 bytes",
        _ if name.starts_with('-') => "must not start with '-'",
        _ if name.starts_with("refs/") => "must be the short name, without refs/…/",
        _ if CommitId::parse(name).is_ok() => "must not look like a commit id",
        _ if name.chars().any(|c| is_hidden(c) || c.is_whitespace()) => {
            "must not contain spaces or invisible characters"
        }
        _ if name.contains(['~', '^', ':', '?', '*', '[', '\\']) || name.contains("@{") => {
            "must not contain characters that git gives a meaning"
        }
        _ if name.chars().any(is_shell_meta) => "must not contain quotes or shell characters",
        _ if name.contains("..") || name.ends_with('.') => "must not contain '..' or end in '.'",
        _ if name.split('/').any(bad_part) => {
            "must not have parts that are empty, too long, start with '.' or end in '.lock'"
        }
        _ => return None,
    };
    Some(rule)
}
