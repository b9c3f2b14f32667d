use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::chars::{is_hidden, is_shell_meta};
use super::{InputCode, InvalidValue};

const MAX_BYTES: usize = 1024;
const MAX_PART_BYTES: usize = 255;

/// Defines a type of relative path; the types differ in name and code only.
macro_rules! relative_path {
    ($(#[$doc:meta])* $name:ident, $field:literal, $code:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        string_value!($name);

        impl $name {
            /// Parses a relative path; `.` means the root itself.
            pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
                let input = input.as_ref();
                normal(input)
                    .map(Self)
                    .map_err(|rule| InvalidValue::new($field, InputCode::$code, rule, input))
            }

            /// The path as one of the standard library.
            pub fn as_path(&self) -> &Path {
                Path::new(&self.0)
            }

            /// The path below this one. Only its length can be a problem.
            pub fn join(&self, below: &RelPath) -> Result<Self, InvalidValue> {
                Self::parse(format!("{self}/{below}"))
            }

            /// Where the path is when the root is `root`.
            ///
            /// The files there decide where it leads: follow it only with
            /// symbolic links refused, or check the result.
            pub fn under(&self, root: &Path) -> PathBuf {
                if self.0 == "." { root.to_owned() } else { root.join(&self.0) }
            }
        }
    };
}

relative_path!(
    /// The directory inside a checkout that holds what was built.
    ///
    /// ```
    /// use deployr_core::value::OutputDir;
    ///
    /// assert_eq!(OutputDir::parse("./apps/web/.next/")?.as_str(), "apps/web/.next");
    /// assert!(OutputDir::parse("../other").is_err());
    /// assert!(OutputDir::parse(".git").is_err());
    /// # Ok::<(), deployr_core::value::InvalidValue>(())
    /// ```
    OutputDir,
    "output_dir",
    OutputDirInvalid
);

relative_path!(
    /// A path of a file or directory inside some root, without a way out.
    ///
    /// ```
    /// use std::path::Path;
    /// use deployr_core::value::RelPath;
    ///
    /// let file = RelPath::parse("docker/Dockerfile.prod")?;
    /// assert_eq!(file.under(Path::new("/srv")), Path::new("/srv/docker/Dockerfile.prod"));
    /// assert!(RelPath::parse("/etc/passwd").is_err());
    /// # Ok::<(), deployr_core::value::InvalidValue>(())
    /// ```
    RelPath,
    "path",
    PathInvalid
);

fn normal(input: &str) -> Result<String, &'static str> {
    let special = |c: char| {
        is_hidden(c) || is_shell_meta(c) || (c.is_whitespace() && c != ' ') || "*?[]!:".contains(c)
    };
    if input.is_empty() {
        return Err("must not be empty");
    }
    if input.len() > MAX_BYTES {
        return Err("must not be longer than 1024 bytes");
    }
    if input.starts_with('/') {
        return Err("must be a relative path");
    }
    if input.contains('\\') {
        return Err("must use '/' between its parts");
    }
    if input.contains(special) {
        return Err("must not contain invisible or shell characters");
    }
    // Some services that get a path decode it, some more than once, and some file
    // systems take letters of other widths for the usual ones.
    if has_escape(input) {
        return Err("must not contain '%' with the number of a character");
    }
    let folded: String = input.nfkc().collect();
    if folded.split(['/', '\\']).any(|part| part == "..") {
        return Err("must not contain '..'");
    }
    if folded.matches(['/', '\\']).count() != input.matches('/').count() {
        return Err("must not contain characters that look like '/'");
    }
    let parts: Vec<&str> = input
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.iter().any(|part| part.len() > MAX_PART_BYTES) {
        return Err("must not have parts longer than 255 bytes");
    }
    if parts
        .iter()
        .any(|part| part.starts_with(' ') || part.ends_with(' '))
    {
        return Err("must not have parts with spaces around them");
    }
    if folded.split('/').any(is_git_dir) {
        return Err("must not lead into .git");
    }
    match parts.first() {
        None => Ok(".".to_owned()),
        Some(first) if first.starts_with(['-', '~']) => Err("must not start with '-' or '~'"),
        Some(_) => Ok(parts.join("/")),
    }
}

/// `%2e`, `%u002e`
fn has_escape(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let hex = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
        hex(0) && hex(1) || rest.starts_with(['u', 'U']) && hex(1) && hex(2)
    })
}

/// `.git` under any of the names that some file system takes for it.
fn is_git_dir(part: &str) -> bool {
    let name = part.trim_end_matches('.');
    name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1")
}
