//! Where a host is and how it is believed, parsed at the edge.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// Why a setting of a host is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTarget {
    /// The setting.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is invalid: {}", self.field, self.rule)
    }
}

impl std::error::Error for InvalidTarget {}

/// A host that is deployed to over SSH.
///
/// Its key is always checked: against [`host_key`](Self::host_key) where that is set, or
/// else against a `known_hosts` file, that of the user who runs the engine where none is
/// named. A host that is not in it is refused, and so is one whose key has changed.
///
/// ```
/// use deployr_exec::ssh::SshTarget;
///
/// let target = SshTarget::new("web-1.example.com", "/srv/sites")?;
/// assert_eq!((target.port, target.user.as_deref()), (22, None));
/// assert!(SshTarget::new("-oProxyCommand=x", "/srv/sites").is_err());
/// # Ok::<(), deployr_exec::ssh::InvalidTarget>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshTarget {
    /// Its name or address.
    pub host: String,
    /// Where its `sshd` listens.
    #[serde(default = "port")]
    pub port: u16,
    /// Whom to log in as; who runs the engine, where absent.
    #[serde(default)]
    pub user: Option<String>,
    /// The folder of all projects; below the user's home where it is relative.
    pub root: String,
    /// Its public key, as `ssh-ed25519 AAAA…`; the only one that is believed then.
    #[serde(default)]
    pub host_key: Option<String>,
    /// Where public keys of hosts are looked for.
    #[serde(default)]
    pub known_hosts: Option<PathBuf>,
    /// The private key to log in with. Where absent: the agent, and the user's own keys.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// A certificate for that key.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The agent's socket; that of the engine's environment, where absent.
    #[serde(default)]
    pub agent: Option<PathBuf>,
    /// The host to go through.
    #[serde(default)]
    pub jump: Option<SshJump>,
    /// The host's address for requests: processes of releases listen on it, on a port that
    /// each is told. Without one, only static releases can be deployed there.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Where a web server of the host serves `<root>/<project>/current`, for an ingress
    /// that sends requests on. Without one, requests get there by themselves.
    #[serde(default)]
    pub web_server: Option<SocketAddr>,
    /// What it is for; for all, where nothing is said.
    #[serde(default)]
    pub roles: Vec<Role>,
}

/// What a host is for. Every host has each release, and runs what releases prepare and what
/// follows a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Answers requests.
    Web,
    /// Runs the worker of a release, and answers none.
    Worker,
    /// Is where `migrate` runs; of several the first.
    Db,
}

/// A host that leads to another one. Its key is checked as that one's is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshJump {
    /// Its name or address.
    pub host: String,
    /// Where its `sshd` listens.
    #[serde(default = "port")]
    pub port: u16,
    /// Whom to log in as.
    #[serde(default)]
    pub user: Option<String>,
    /// Its public key.
    #[serde(default)]
    pub host_key: Option<String>,
}

fn port() -> u16 {
    22
}

impl SshTarget {
    /// A host with all else as it is usual.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn new(host: impl Into<String>, root: impl Into<String>) -> Result<Self, InvalidTarget> {
        let target = Self {
            host: host.into(),
            port: port(),
            user: None,
            root: root.into(),
            host_key: None,
            known_hosts: None,
            key: None,
            certificate: None,
            agent: None,
            jump: None,
            address: None,
            web_server: None,
            roles: Vec::new(),
        };
        target.check().map(|()| target)
    }

    /// Whether it is for this.
    #[must_use]
    pub fn is_for(&self, role: Role) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }

    /// Whether all settings can be what they say. [`SshExecutor::new`](super::SshExecutor::new) asks it, too.
    ///
    /// # Errors
    ///
    /// The first setting that cannot.
    pub fn check(&self) -> Result<(), InvalidTarget> {
        check_host("host", &self.host)?;
        check_user("user", self.user.as_deref())?;
        check_key("host_key", self.host_key.as_deref())?;
        check_root(&self.root)?;
        for (field, path) in [
            ("known_hosts", &self.known_hosts),
            ("key", &self.key),
            ("certificate", &self.certificate),
            ("agent", &self.agent),
        ] {
            check_path(field, path.as_ref())?;
        }
        if let Some(jump) = &self.jump {
            check_host("jump.host", &jump.host)?;
            check_user("jump.user", jump.user.as_deref())?;
            check_key("jump.host_key", jump.host_key.as_deref())?;
        }
        Ok(())
    }
}

/// `deploy@web-1.example.com:22`
impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn refuse_unless(
    holds: bool,
    field: &'static str,
    rule: &'static str,
) -> Result<(), InvalidTarget> {
    match holds {
        true => Ok(()),
        false => Err(InvalidTarget { field, rule }),
    }
}

fn check_host(field: &'static str, host: &str) -> Result<(), InvalidTarget> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let fits = (1..=253).contains(&host.len()) && host.bytes().all(plain);
    let rule = "it must be a host name or an address";
    refuse_unless(fits && !host.starts_with('-'), field, rule)
}

fn check_user(field: &'static str, user: Option<&str>) -> Result<(), InvalidTarget> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let fits = |user: &str| {
        (1..=64).contains(&user.len()) && user.bytes().all(plain) && !user.starts_with('-')
    };
    let rule = "it must be a user's name of letters, digits, '.', '_' and '-'";
    refuse_unless(user.is_none_or(fits), field, rule)
}

fn check_key(field: &'static str, key: Option<&str>) -> Result<(), InvalidTarget> {
    let word = |word: &str, more: &[u8]| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let fits = |key: &str| match key.split_once(' ') {
        Some((kind, key)) => word(kind, b"-@.") && word(key, b"+/="),
        None => false,
    };
    let rule = "it must be a public key, as `ssh-ed25519 AAAA…` in a known_hosts file";
    refuse_unless(key.is_none_or(fits), field, rule)
}

fn check_root(root: &str) -> Result<(), InvalidTarget> {
    let parts: Vec<&str> = root.split('/').filter(|part| !part.is_empty()).collect();
    let fits = root.len() <= 512
        && !root.chars().any(char::is_control)
        && !parts.is_empty()
        && !parts.iter().any(|part| [".", ".."].contains(part))
        && !root.starts_with(['-', '~']);
    let rule = "it must be the path of a folder, other than '/', without '.', '..' and '~'";
    refuse_unless(fits, "root", rule)
}

/// What `ssh`'s configuration has a way to say.
fn check_path(field: &'static str, path: Option<&PathBuf>) -> Result<(), InvalidTarget> {
    let fits = |path: &PathBuf| {
        path.to_str().is_some_and(|text| {
            !text.is_empty()
                && !text.contains(['"', '$', '\\'])
                && !text.chars().any(char::is_control)
        })
    };
    let rule = "it must be a path without '\"', '$', '\\' and control characters";
    refuse_unless(path.is_none_or(fits), field, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_an_option_or_a_line_of_its_own_is_refused() {
        let good = SshTarget::new("web-1", "sites").unwrap();
        let field = |change: &dyn Fn(&mut SshTarget)| {
            let mut target = good.clone();
            change(&mut target);
            target.check().err().map(|error| error.field)
        };
        for host in ["", "-o", "a b", "a\nb", "a;b", "$(id)", "a/b", "u@h"] {
            assert_eq!(field(&|t| t.host = host.into()), Some("host"), "{host:?}");
        }
        for user in ["", "-l", "a b", "a\n", "a@b"] {
            assert_eq!(
                field(&|t| t.user = Some(user.into())),
                Some("user"),
                "{user:?}"
            );
        }
        for root in ["", "/", "..", "/a/../b", "./a", "a\nb", "~/a", "-a"] {
            assert_eq!(field(&|t| t.root = root.into()), Some("root"), "{root:?}");
        }
        for key in [
            "",
            "ssh-rsa",
            "ssh-rsa AA BB",
            "ssh-rsa AA\nx y",
            "* ssh-rsa AA",
        ] {
            assert_eq!(
                field(&|t| t.host_key = Some(key.into())),
                Some("host_key"),
                "{key:?}"
            );
        }
        for path in ["", "a\"b", "a\nb", "${HOME}/x"] {
            assert_eq!(
                field(&|t| t.key = Some(path.into())),
                Some("key"),
                "{path:?}"
            );
        }
        assert_eq!(field(&|t| t.root = "/srv/my sites/it's".into()), None);
        assert_eq!(field(&|t| t.host = "2001:db8::1".into()), None);
    }
}
