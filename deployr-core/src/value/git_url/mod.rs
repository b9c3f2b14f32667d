mod parse;

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::{InputCode, InvalidValue};

/// The address of a git repository.
///
/// `https://`, `ssh://` and the short form `git@host:path` are understood; the
/// short form is rewritten to `ssh://`. Addresses inside private networks,
/// credentials in the address and every other transport are refused.
///
/// Deserializing is for values that were stored, and accepts all that any
/// [`UrlPolicy`] accepts. Parse what a user sends with [`GitUrl::parse`].
///
/// ```
/// use deployr_core::value::{GitScheme, GitUrl};
///
/// let url = GitUrl::parse("git@github.com:acme/app.git")?;
/// assert_eq!(url.as_str(), "ssh://git@github.com/acme/app.git");
/// assert_eq!(url.scheme(), GitScheme::Ssh);
/// assert_eq!(url.repo_name(), "app");
///
/// assert!(GitUrl::parse("http://169.254.169.254/x.git").is_err());
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitUrl(Url);

/// How a repository is reached.
///
/// ```
/// use deployr_core::value::{GitScheme, GitUrl};
///
/// assert_eq!(GitUrl::parse("https://github.com/a/b")?.scheme(), GitScheme::Https);
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GitScheme {
    /// `https://`
    Https,
    /// `http://`, only where the operator allows it.
    Http,
    /// `ssh://`
    Ssh,
    /// A directory on this machine.
    Local,
}

/// What an operator allows beyond public addresses. By default nothing.
///
/// ```
/// use deployr_core::value::{GitUrl, UrlPolicy};
///
/// let at_home = UrlPolicy { allow_private_hosts: true, ..UrlPolicy::default() };
/// assert!(GitUrl::parse("https://git.lan/me/app").is_err());
/// assert!(GitUrl::parse_with("https://git.lan/me/app", &at_home).is_ok());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Hosts in private networks and on this machine.
    pub allow_private_hosts: bool,
    /// Directories on this machine, as `/path` or `file:///path`.
    pub allow_local: bool,
    /// `http://` without encryption.
    pub allow_plain_http: bool,
}

impl UrlPolicy {
    /// Everything is allowed that is well formed.
    pub const PERMISSIVE: Self = Self {
        allow_private_hosts: true,
        allow_local: true,
        allow_plain_http: true,
    };
}

impl GitUrl {
    /// Parses an address with the default [`UrlPolicy`].
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        Self::parse_with(input, &UrlPolicy::default())
    }

    /// Parses an address where the operator allows more than the default.
    pub fn parse_with(input: impl AsRef<str>, policy: &UrlPolicy) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        parse::parse(input, policy)
            .map(Self)
            .map_err(|(code, rule)| InvalidValue::new("repo_url", code, rule, &shown(input)))
    }

    /// A repository in an absolute directory of this machine.
    pub fn local(path: &Path) -> Result<Self, InvalidValue> {
        local_url(path).map(Self).map_err(|rule| {
            let shown = path.to_string_lossy();
            InvalidValue::new("repo_url", InputCode::RepoUrlInvalid, rule, &shown)
        })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// How the repository is reached.
    pub fn scheme(&self) -> GitScheme {
        match self.0.scheme() {
            "https" => GitScheme::Https,
            "http" => GitScheme::Http,
            "ssh" => GitScheme::Ssh,
            _ => GitScheme::Local,
        }
    }

    /// The host, in lower case; an IPv6 address keeps its brackets.
    pub fn host(&self) -> Option<&str> {
        self.0.host_str()
    }

    /// The port, unless it is the usual one.
    pub fn port(&self) -> Option<u16> {
        self.0.port()
    }

    /// The login name of an ssh address.
    pub fn user(&self) -> Option<&str> {
        Some(self.0.username()).filter(|user| !user.is_empty())
    }

    /// The path, percent-encoded, with its leading `/`.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The last part of the path, decoded, without `.git`.
    pub fn repo_name(&self) -> String {
        let last = self.path().rsplit('/').next().unwrap_or_default();
        let name = last
            .strip_suffix(".git")
            .filter(|name| !name.is_empty())
            .unwrap_or(last);
        percent_decode_str(name).decode_utf8_lossy().into_owned()
    }

    /// The directory of a local repository.
    pub fn local_path(&self) -> Option<PathBuf> {
        (self.scheme() == GitScheme::Local)
            .then(|| self.0.to_file_path().ok())
            .flatten()
    }
}

fn local_url(path: &Path) -> Result<Url, &'static str> {
    let text = path.to_str().ok_or("a local path must be UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("must not contain '..'");
    }
    let plain: PathBuf = path.components().collect();
    if plain.file_name().is_none() {
        return Err("must name a directory");
    }
    Url::from_file_path(plain).map_err(|()| "a local path must be absolute")
}

/// The input with everything left out that could be a credential: what is before the
/// last `@`, wherever that is, what should be a port and is none, and what comes after
/// the path.
fn shown(input: &str) -> String {
    let (scheme, rest) = match input.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('@') => (format!("{scheme}://"), rest),
        _ => (String::new(), input),
    };
    let (login, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    match host.rsplit_once(':') {
        Some((host, port)) if !scheme.is_empty() && !host.starts_with('[') && !is_port(port) => {
            format!("{scheme}{login}{host}:***{path}")
        }
        _ => format!("{scheme}{login}{host}{path}"),
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|digit| digit.is_ascii_digit())
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for GitUrl {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for GitUrl {
    type Err = InvalidValue;

    fn from_str(input: &str) -> Result<Self, InvalidValue> {
        Self::parse(input)
    }
}

impl TryFrom<String> for GitUrl {
    type Error = InvalidValue;

    fn try_from(input: String) -> Result<Self, InvalidValue> {
        Self::parse(input)
    }
}

impl From<GitUrl> for String {
    fn from(url: GitUrl) -> Self {
        url.0.into()
    }
}

impl Serialize for GitUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for GitUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_with(text, &UrlPolicy::PERMISSIVE).map_err(serde::de::Error::custom)
    }
}
