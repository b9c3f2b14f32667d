//! What a project is on an account: its domain, and what belongs to it there.

use std::net::SocketAddr;

use deployr_core::value::{EnvName, GitUrl, RelPath};
use serde::Deserialize;

use super::target::{fits, is_plain_path};

/// A project on an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// The domain that gives it out: one of the account's, or a subdomain of one, which is
    /// made then. Its document root becomes a link to the present release.
    pub domain: Option<String>,
    /// Whether it is visited over `http` only, as before it has a certificate.
    pub plain_http: bool,
    /// Where its web server answers, while the domain does not lead there yet.
    pub web_server: Option<SocketAddr>,
    /// The folder of the release that is given out: `public` for Laravel; all of it where
    /// absent.
    pub web: Option<String>,
    /// The version of PHP that runs it, as `8.2` or as the host calls it, `ea-php82`.
    pub php: Option<String>,
    /// Where the project's variables are written to in each release, as `.env`; outside of
    /// what is given out.
    pub env_file: Option<RelPath>,
    /// Whether Passenger runs it, a Node app with an `app.js`, or else with a `server.js`.
    pub passenger: bool,
    /// A database, made before its first release.
    pub database: Option<Database>,
    /// What cron shall run for it: these lines, and no others of this project.
    pub cron: Vec<Cron>,
    /// cPanel pulls the repository by itself, and runs its `.cpanel.yml`.
    pub git: Option<Git>,
}

/// A database and its user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Which server.
    #[serde(default)]
    pub kind: DatabaseKind,
    /// Its name; the account's prefix is put before it where the host wants one.
    pub name: String,
    /// The user's name, with the same prefix; made with all rights on this database.
    pub user: String,
    /// The project's variable that has the user's password.
    pub password: EnvName,
}

/// A database server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseKind {
    /// MySQL or MariaDB.
    #[default]
    Mysql,
    /// PostgreSQL.
    Postgresql,
}

impl DatabaseKind {
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Mysql => "Mysql",
            Self::Postgresql => "Postgresql",
        }
    }
}

/// A line of the account's crontab.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    /// Five fields: minute, hour, day, month, weekday.
    pub schedule: String,
    /// What runs, in the present release's folder. Must not hold a secret: it is stored in
    /// plain text.
    pub command: String,
}

/// A repository that cPanel keeps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// What it clones: one that the host can read.
    pub repository: GitUrl,
    /// What it follows; only forward.
    pub branch: String,
}

impl Site {
    pub(super) const fn none() -> Self {
        Self {
            domain: None,
            plain_http: false,
            web_server: None,
            web: None,
            php: None,
            env_file: None,
            passenger: false,
            database: None,
            cron: Vec::new(),
            git: None,
        }
    }

    /// Whether the project's variables are written there: then it is each release's own.
    pub(super) fn is_env_file(&self, path: &RelPath) -> bool {
        self.env_file.as_ref() == Some(path)
    }

    /// The folder that is given out, below `release`.
    pub(super) fn web_of(&self, release: &str) -> String {
        match &self.web {
            Some(web) => format!("{release}/{web}"),
            None => release.to_owned(),
        }
    }

    /// The address that visitors use, without a path.
    pub(super) fn url(&self) -> Option<String> {
        let scheme = if self.plain_http { "http" } else { "https" };
        let domain = self.domain.as_ref()?;
        // A port in the URL is what decides, whatever the name is resolved to.
        let port = self.web_server.map(|address| address.port());
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Some(format!("{scheme}://{domain}{port}"))
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let is_domain = |text: &str| {
            text.len() <= 253
                && text.contains('.')
                && text.split('.').all(|part| fits(part, 63, label))
        };
        let php = |text: &str| {
            fits(text, 32, |b| {
                b.is_ascii_alphanumeric() || b == b'-' || b == b'.'
            })
        };
        let name = |text: &str| fits(text, 64, |b| b.is_ascii_alphanumeric() || b == b'_');
        let branch = |text: &str| {
            fits(text, 200, |b| {
                b.is_ascii_alphanumeric() || b"-_./".contains(&b)
            }) && !text.starts_with('-')
        };
        let is_public = |file: &RelPath| match &self.web {
            None => true,
            Some(web) => file.as_path().starts_with(web),
        };
        let rules = [
            (
                self.domain.as_deref().is_none_or(is_domain),
                "domain",
                "it must be a domain, as blog.example.com",
            ),
            (
                self.web.as_deref().is_none_or(is_plain_path),
                "web",
                "it must be a folder of the release of letters, digits, '-', '_' and '.'",
            ),
            (
                self.php.as_deref().is_none_or(php),
                "php",
                "it must be a version, as 8.2, or what the host calls one, as ea-php82",
            ),
            (
                self.php.is_none() || self.domain.is_some(),
                "php",
                "it is set for a domain, and there is none; set `domain`",
            ),
            (
                !self.env_file.as_ref().is_some_and(is_public),
                "env_file",
                "everybody could read it there; set `web` to a folder that it is not in",
            ),
            (
                !self.passenger || self.domain.is_some(),
                "passenger",
                "an app needs a domain; set `domain`",
            ),
            (
                self.git.is_none() || !self.passenger,
                "git",
                "it does not go with `passenger`: what is run is what `.cpanel.yml` says",
            ),
            (
                self.database
                    .as_ref()
                    .is_none_or(|database| name(&database.name) && name(&database.user)),
                "database",
                "its name and its user's must be of letters, digits and '_'",
            ),
            (
                self.git.as_ref().is_none_or(|git| branch(&git.branch)),
                "git.branch",
                "it must be a branch of letters, digits, '-', '_', '.' and '/'",
            ),
            (
                self.cron.iter().all(Cron::is_well),
                "cron",
                "each needs a schedule of five fields, and a command of one line without '%'",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, ..)| !holds);
        broken.map_or(Ok(()), |(_, field, rule)| Err((field, rule)))
    }
}

impl Cron {
    /// Its fields, in the order of a crontab.
    pub(super) fn fields(&self) -> Vec<&str> {
        self.schedule.split_whitespace().collect()
    }

    fn is_well(&self) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"*/,-".contains(&b);
        let fields = self.fields();
        // cron makes a new line of a '%'.
        let command = !self.command.trim().is_empty()
            && !self.command.contains(['%', '#'])
            && !self.command.chars().any(char::is_control);
        fields.len() == 5 && fields.iter().all(|field| fits(field, 40, plain)) && command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_public_or_a_second_line_is_refused() {
        let well = Site {
            domain: Some("blog.example.com".into()),
            web: Some("public".into()),
            env_file: Some(RelPath::parse(".env").unwrap()),
            ..Site::none()
        };
        assert_eq!(well.check(), Ok(()));
        let field = |change: &dyn Fn(&mut Site)| {
            let mut site = well.clone();
            change(&mut site);
            site.check().err().map(|(field, _)| field)
        };
        assert_eq!(field(&|s| s.web = None), Some("env_file"));
        let public = RelPath::parse("public/.env").unwrap();
        assert_eq!(
            field(&|s| s.env_file = Some(public.clone())),
            Some("env_file")
        );
        for domain in ["localhost", "a b.c", "a.b/c", "a..b", "a,b.c", "x@a.b"] {
            assert_eq!(
                field(&|s| s.domain = Some(domain.into())),
                Some("domain"),
                "{domain}"
            );
        }
        for web in ["../x", "/x", "a,b", "a/../b", ""] {
            assert_eq!(field(&|s| s.web = Some(web.into())), Some("web"), "{web}");
        }
        for (schedule, command) in [
            ("* * * *", "true"),
            ("* * * * *\n* * * * * id", "true"),
            ("@reboot", "true"),
            ("* * * * *", "true\n* * * * * id"),
            ("* * * * *", "date +%s"),
            ("* * * * *", ""),
        ] {
            let cron = Cron {
                schedule: schedule.into(),
                command: command.into(),
            };
            assert_eq!(
                field(&|s| s.cron = vec![cron.clone()]),
                Some("cron"),
                "{cron:?}"
            );
        }
    }
}
