//! An account of a host, and what each project is there; parsed at the edge.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::site::Site;
use super::token::Token;

/// Why a setting of an account is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAccount {
    /// The setting, as `sites.blog.domain`.
    pub field: String,
    /// What it must be.
    pub rule: &'static str,
}

impl fmt::Display for InvalidAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is invalid: {}", self.field, self.rule)
    }
}

impl std::error::Error for InvalidAccount {}

/// An account of a shared host, deployed to through cPanel's HTTP API.
///
/// The host's certificate is always checked, against the system's authorities and that in
/// [`certificate`](Self::certificate).
///
/// ```
/// use deployr_exec::cpanel::{CpanelTarget, Token};
///
/// let target = CpanelTarget::new("server42.example.com", "acme", Token::file("/etc/deployr/token"))?;
/// assert_eq!((target.port, target.root.as_str()), (2083, "deployr"));
/// assert!(CpanelTarget::new("a/b", "acme", Token::new("x")).is_err());
/// # Ok::<(), deployr_exec::cpanel::InvalidAccount>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpanelTarget {
    /// The server's name, as its certificate has it.
    pub host: String,
    /// Where cPanel listens with TLS.
    #[serde(default = "port")]
    pub port: u16,
    /// The account.
    pub user: String,
    /// Its token, as the file that holds it.
    #[serde(rename = "token_file")]
    pub token: Token,
    /// The folder of all projects, below the account's home.
    #[serde(default = "root")]
    pub root: String,
    /// A file with the certificate, in PEM, of a further authority to believe.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// What projects are there, by their slugs. One that is not named is placed, and
    /// nothing else: no domain is led to it.
    #[serde(default)]
    pub sites: BTreeMap<String, Site>,
}

fn port() -> u16 {
    2083
}

fn root() -> String {
    "deployr".to_owned()
}

/// What the File Manager keeps for itself, or gives out.
const TAKEN: &[&str] = &[
    "access-logs",
    "cgi-bin",
    "etc",
    "logs",
    "mail",
    "perl5",
    "public_ftp",
    "public_html",
    "spamassassin",
    "ssl",
    "tmp",
    "var",
    "www",
];

impl CpanelTarget {
    /// An account with all else as it is usual.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn new(
        host: impl Into<String>,
        user: impl Into<String>,
        token: Token,
    ) -> Result<Self, InvalidAccount> {
        let target = Self {
            host: host.into(),
            port: port(),
            user: user.into(),
            token,
            root: root(),
            certificate: None,
            sites: BTreeMap::new(),
        };
        target.check().map(|()| target)
    }

    /// Whether all settings can be what they say.
    /// [`CpanelExecutor::new`](super::CpanelExecutor::new) asks it, too.
    ///
    /// # Errors
    ///
    /// The first setting that cannot.
    pub fn check(&self) -> Result<(), InvalidAccount> {
        let host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        refuse_unless(
            fits(&self.host, 253, host) && !self.host.starts_with('-'),
            "host",
            "it must be a host name or an address",
        )?;
        let user = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        refuse_unless(
            fits(&self.user, 32, user),
            "user",
            "it must be an account's name of letters, digits and '_'",
        )?;
        refuse_unless(
            is_plain_path(&self.root)
                && !TAKEN
                    .iter()
                    .any(|of| self.root.split('/').next() == Some(of)),
            "root",
            "it must be a folder below the home of letters, digits, '-', '_' and '.', that no \
             domain gives out and cPanel does not use",
        )?;
        for (name, site) in &self.sites {
            site.check().map_err(|(field, rule)| InvalidAccount {
                field: format!("sites.{name}.{field}"),
                rule,
            })?;
        }
        Ok(())
    }

    /// What the project is there.
    pub(super) fn site(&self, slug: &str) -> &Site {
        const NONE: &Site = &Site::none();
        self.sites.get(slug).unwrap_or(NONE)
    }
}

/// `acme@server42.example.com:2083`
impl fmt::Display for CpanelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

pub(super) fn fits(text: &str, longest: usize, plain: impl Fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(plain)
}

/// A relative path that needs no quoting anywhere: in a list with commas, in a URL, in a
/// shell.
pub(super) fn is_plain_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    path.len() <= 255
        && path
            .split('/')
            .all(|part| fits(part, 64, plain) && !part.starts_with(['.', '-']))
}

fn refuse_unless(holds: bool, field: &str, rule: &'static str) -> Result<(), InvalidAccount> {
    match holds {
        true => Ok(()),
        false => Err(InvalidAccount {
            field: field.to_owned(),
            rule,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_elsewhere_is_refused() {
        let good = CpanelTarget::new("web.example.com", "acme", Token::new("t")).unwrap();
        let field = |change: &dyn Fn(&mut CpanelTarget)| {
            let mut target = good.clone();
            change(&mut target);
            target.check().err().map(|error| error.field)
        };
        for host in ["", "-o", "a b", "a\nb", "a/b", "u@h", "a?b", "a#b"] {
            assert_eq!(
                field(&|t| t.host = host.into()).as_deref(),
                Some("host"),
                "{host:?}"
            );
        }
        for user in ["", "a b", "a:b", "a\nb", "../x"] {
            assert_eq!(
                field(&|t| t.user = user.into()).as_deref(),
                Some("user"),
                "{user:?}"
            );
        }
        for root in [
            "",
            "/",
            "..",
            "a/../b",
            "a,b",
            "a b",
            "a%2e",
            "public_html/x",
            "tmp",
            ".ssh",
            "a//b",
            "a/",
        ] {
            assert_eq!(
                field(&|t| t.root = root.into()).as_deref(),
                Some("root"),
                "{root:?}"
            );
        }
        assert_eq!(field(&|t| t.root = "apps/deployr-2".into()), None);
        assert!(!format!("{good:?}").contains("\"t\""));
    }
}
