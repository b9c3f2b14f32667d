//! What an account lacks, and how to mend it, before anybody deploys there.

use deployr_core::error::{StepError, StepResult};
use deployr_core::system::{Clock, SystemClock};
use serde_json::Value;

use super::call::{Call, items, number};
use super::client::Failed;
use super::lock::random;
use super::provide::find_php;
use super::site::Site;
use super::{Account, CpanelExecutor};
use crate::remote::{APART, Finding, GIB, Report, gib};

/// Of which fewer are soon used up.
const FILES: u64 = 20_000;
/// In bytes; no release fits into less.
const LEAST: u64 = 1 << 20;
const DAY: i64 = 24 * 60 * 60;

impl CpanelExecutor {
    /// Looks at the account. Whether links can be made and replaced is tried in a folder of
    /// its own below the root, which is removed again; nothing else is changed.
    pub async fn doctor(&self) -> Vec<Finding> {
        let account = &self.account;
        let target = account.client.target();
        let look = Look {
            account,
            report: Report(target.to_string()),
        };
        let (home, connection) = look.connection().await;
        let mut findings = vec![connection];
        if home.is_none() {
            return findings;
        }
        findings.push(look.clock().await);
        findings.extend(look.room().await);
        findings.push(look.links().await);
        findings.extend(look.tokens().await);
        for (name, site) in &target.sites {
            findings.extend(look.site(name, site).await);
        }
        findings
    }
}

struct Look<'a> {
    account: &'a Account,
    report: Report,
}

impl Look<'_> {
    async fn connection(&self) -> (Option<String>, Finding) {
        match self.account.client.ask_home().await {
            Ok(home) => {
                let finding = self
                    .report
                    .good("connection", &format!("the account's home is {home}"));
                (Some(home), finding)
            }
            Err(error) => (None, self.ill("connection", error)),
        }
    }

    /// What stands in the way of a look.
    fn ill(&self, what: &'static str, error: StepError) -> Finding {
        match error {
            StepError::Fault(fault) => {
                let found = format!("{} failed", fault.operation);
                self.report.bad(what, &found, &fault.reason)
            }
            error => self.report.bad(what, &error.to_string(), "deploy again"),
        }
    }

    async fn clock(&self) -> Finding {
        let call = Call::uapi("Variables", "get_user_information").with("name", "home");
        let time = self
            .account
            .client
            .ask(&call)
            .await
            .ok()
            .and_then(|answer| answer.time);
        match time.map(|there| there - SystemClock.now().timestamp()) {
            Some(apart) if apart.abs() <= APART => self.report.good("clock", "as here"),
            Some(apart) => self.report.lacking(
                "clock",
                &format!("{apart} s from the one here"),
                "set this machine's by NTP, or tell the host: certificates and tokens that \
                 expire depend on it",
            ),
            None => self.report.lacking(
                "clock",
                "not known",
                "the host tells no time in its answers",
            ),
        }
    }

    async fn room(&self) -> Vec<Finding> {
        let room = match self.account.client.room().await {
            Ok(room) => room,
            Err(error) => return vec![self.ill("free space", error)],
        };
        let report = &self.report;
        let space = match room.bytes {
            Some(..LEAST) => {
                report.bad("free space", "none", "free some, or have the quota raised")
            }
            Some(free) if free < GIB => {
                report.lacking("free space", &gib(free), "releases need room; free some")
            }
            Some(free) => report.good("free space", &gib(free)),
            None => report.good("free space", "no limit is told"),
        };
        let files = match room.files {
            Some(0) => report.bad(
                "files",
                "no more",
                "remove some, or have the inode limit raised",
            ),
            Some(left) if left < FILES => report.lacking(
                "files",
                &format!("{left} more"),
                "an app with its libraries has tens of thousands; remove some, or have the \
                 inode limit raised",
            ),
            Some(left) => report.good("files", &format!("{left} more")),
            None => report.good("files", "no limit is told"),
        };
        let upload = match room.upload {
            Some(limit) => report.good(
                "uploads",
                &format!("up to {:.0} MiB", limit as f64 / f64::from(1 << 20)),
            ),
            None => report.good("uploads", "no limit is told"),
        };
        vec![space, files, upload]
    }

    /// Tries what a switch does.
    async fn links(&self) -> Finding {
        let client = &self.account.client;
        let folder = format!("{}/.doctor.{}", client.target().root, random());
        let tried = self.replaces_links(&folder).await;
        let removed = match client.is_there(&folder).await {
            Ok(true) => client.remove(&folder).await,
            other => other.map(drop),
        };
        match (tried, removed) {
            (Ok(true), Ok(())) => self.report.good("links", "replaced in one step"),
            (Ok(false), Ok(())) => self.report.lacking(
                "links",
                "not replaced in one step",
                "at each switch nothing is served for a moment",
            ),
            (Err(error), _) => self.ill("links", error),
            (_, Err(error)) => self.ill("links", error),
        }
    }

    async fn replaces_links(&self, folder: &str) -> StepResult<bool> {
        let client = &self.account.client;
        for side in ["a", "b"] {
            client.make_dirs(&format!("{folder}/{side}")).await?;
            client
                .write_file(&format!("{folder}/{side}/which"), side)
                .await?;
            client
                .link(&format!("{folder}/{side}"), &format!("{folder}/to-{side}"))
                .await?;
        }
        let call = Call::fileop(
            "rename",
            &format!("{folder}/to-b"),
            Some(&format!("{folder}/to-a")),
        );
        match client.ask(&call).await {
            Ok(_) | Err(Failed::Refused(_)) => {}
            Err(failed) => return Err(client.explain(&call, failed)),
        }
        let which = client.read_file(&format!("{folder}/to-a/which")).await?;
        Ok(which.as_deref().map(str::trim) == Some("b"))
    }

    /// Which of them is ours is not told, so the next to expire is.
    async fn tokens(&self) -> Option<Finding> {
        let tokens = self
            .account
            .client
            .asked(&Call::uapi("Tokens", "list"))
            .await
            .ok()?;
        let now = SystemClock.now().timestamp();
        let expiry = |token: &&Value| {
            let at = token.get("expires_at").and_then(number)?;
            i64::try_from(at).ok().filter(|at| *at > now)
        };
        let all = items(&tokens);
        let (at, token) = all
            .iter()
            .filter_map(|token| Some((expiry(token)?, token)))
            .min_by_key(|(at, _)| *at)?;
        let name = token.get("name").and_then(Value::as_str).unwrap_or("?");
        let days = (at - now) / DAY;
        let found = format!("{name:?} expires in {days} days");
        Some(match days {
            0..14 => self.report.lacking("token", &found, "if it is this target's, make a new one in cPanel under Manage API Tokens and put it into the file"),
            _ => self.report.good("token", &found),
        })
    }

    async fn site(&self, name: &str, site: &Site) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(domain) = &site.domain {
            findings.push(match self.account.root_of(domain).await {
                Ok(Some(root)) => self.report.good("domain", &format!("{domain} of {name}, {root}")),
                Ok(None) => self.report.lacking(
                    "domain",
                    &format!("{domain} of {name} is not there yet"),
                    "a subdomain is made with the first release; add any other in cPanel under Domains",
                ),
                Err(error) => self.ill("domain", error),
            });
        }
        if let Some(php) = &site.php {
            findings.push(match self.account.php_versions().await {
                Ok(versions) => match find_php(php, &versions) {
                    Some(found) => self.report.good("php", &format!("{found} for {name}")),
                    None => self.report.bad(
                        "php",
                        &format!("no {php} for {name}; there are {}", versions.join(", ")),
                        "set `php` to one of these, or ask the host for it",
                    ),
                },
                Err(error) => self.ill("php", error),
            });
        }
        let functions = [
            (
                "database",
                site.database
                    .as_ref()
                    .map(|of| Call::uapi(of.kind.module(), "list_databases")),
            ),
            (
                "cron",
                (!site.cron.is_empty()).then(|| Call::api2("Cron", "listcron")),
            ),
            (
                "passenger",
                site.passenger
                    .then(|| Call::uapi("PassengerApps", "list_applications")),
            ),
            (
                "git",
                site.git
                    .is_some()
                    .then(|| Call::uapi("VersionControl", "retrieve")),
            ),
        ];
        for (what, call) in functions {
            let Some(call) = call else { continue };
            findings.push(match self.account.client.call(&call).await {
                Ok(_) => self.report.good(what, &format!("there, for {name}")),
                Err(error) => self.ill(what, error),
            });
        }
        findings
    }
}
