//! How a project goes from an account. What the host has made for it by name goes first; the
//! domain gets its document root back; a database and a subdomain stay, as they cannot be told
//! from what their owner has made.

use deployr_core::error::{StepError, StepResult};
use deployr_core::value::Slug;
use serde_json::Value;

use super::Account;
use super::call::{Call, items};
use super::docroot::ITS_OWN;
use super::files::{Entry, Kind, split};
use super::lock::{Lock, random};
use super::pack::MARKER;
use super::place::number_of;
use crate::left;

/// What deployr itself writes into a project's folder by fixed names, but `releases`,
/// `incoming` and `shared`. `docroot` is the last to go, as it says whose the document root is.
const OURS: [&str; 7] = [
    "current",
    MARKER,
    "turn",
    "tasks",
    "repository",
    "cron",
    "docroot",
];

impl Account {
    /// By the names that deployr gives: what others have made beside it stays, and is told.
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let base = self.base(slug);
        let there = self.client.list(&base).await?.entries;
        if there.iter().any(is_ours) {
            self.remove_cron(slug).await?;
            let lock = Lock::take(&self.client, &base).await?;
            let removed = lock.account().remove_all(slug, &lock).await;
            lock.give_back().await;
            removed?;
            // Outside of the lock: the host may take its time with large trees.
            self.remove_incoming(&base).await?;
        }
        if there.iter().any(|entry| entry.name == "shared") {
            let shared = format!("{base}/shared");
            if purge || self.client.list(&shared).await?.entries.is_empty() {
                self.client.remove(&shared).await?;
            }
        }
        let left = self.client.list(&base).await?.entries;
        if left.is_empty() {
            return match self.client.is_there(&base).await? {
                true => self.client.remove(&base).await,
                false => Ok(()),
            };
        }
        let names = left.into_iter().map(|entry| entry.name);
        let names = names.filter(|name| name != "shared" && name != "lock");
        left::tell(slug, self.client.target(), &base, names);
        Ok(())
    }

    async fn remove_all(&self, slug: &Slug, lock: &Lock) -> StepResult<()> {
        let base = self.base(slug);
        lock.still_held().await?;
        self.unregister_app(slug).await?;
        self.remove_repository(slug).await?;
        lock.still_held().await?;
        self.give_document_root_back(slug, &base).await?;
        let mut there = self.client.list(&base).await?.entries;
        // First, so that nothing that is half gone is present.
        let place = |entry: &Entry| OURS.iter().position(|name| *name == entry.name);
        there.sort_by_key(|entry| match place(entry) {
            Some(0) => 0,
            Some(at) => at + 1,
            None => 1,
        });
        for entry in there.iter().filter(|entry| entry.name != "lock") {
            let path = format!("{base}/{}", entry.name);
            lock.still_held().await?;
            match entry.name.as_str() {
                "releases" => self.put_releases_away(&base, &path, lock).await?,
                "repository" => self.put_away(&base, &path, lock).await?,
                "incoming" => {} // to be removed once the lock is given back
                // Made by the host for a subdomain, and as it was made.
                "www" if entry.kind == Kind::Dir => {
                    let own = |entry: &Entry| ITS_OWN.contains(&entry.name.as_str());
                    if self.client.list(&path).await?.entries.iter().all(own) {
                        self.client.remove(&path).await?;
                    }
                }
                "current" if !self.is_its_current(entry, &path).await? => {}
                _ if is_ours(entry) => self.client.remove(&path).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder of releases, or deployr's in it where others have put something there.
    async fn put_releases_away(&self, base: &str, path: &str, lock: &Lock) -> StepResult<()> {
        let there = self.client.list(path).await?.entries;
        let is_release = |entry: &&Entry| number_of(&entry.name).is_some();
        if there.iter().all(|entry| is_release(&entry)) {
            return self.put_away(base, path, lock).await;
        }
        for release in there.iter().filter(is_release) {
            let release = format!("{path}/{}", release.name);
            self.put_away(base, &release, lock).await?;
        }
        Ok(())
    }

    /// Takes a tree its name, which is one step however large it is. Where nobody comes to
    /// remove it, the next removal or clean-up does.
    async fn put_away(&self, base: &str, path: &str, lock: &Lock) -> StepResult<()> {
        let incoming = format!("{base}/incoming");
        self.client.make_dirs(&incoming).await?;
        lock.still_held().await?;
        let gone = format!("{incoming}/0.gone.{}", random());
        self.client.rename(path, &gone).await
    }

    /// What is deployr's in that folder, and the folder where that is all.
    async fn remove_incoming(&self, base: &str) -> StepResult<()> {
        let folder = format!("{base}/incoming");
        let there = self.client.list(&folder).await?.entries;
        for entry in there.iter().filter(|entry| is_incoming(&entry.name)) {
            let path = format!("{folder}/{}", entry.name);
            self.client.remove(&path).await?;
        }
        let is_empty = there.iter().all(|entry| is_incoming(&entry.name));
        match is_empty && self.client.is_there(&folder).await? {
            true => self.client.remove(&folder).await,
            false => Ok(()),
        }
    }

    /// A link to a release, or to one that is gone.
    async fn is_its_current(&self, entry: &Entry, path: &str) -> StepResult<bool> {
        Ok(entry.kind == Kind::Link
            && (self.marker(path).await?.is_some() || !self.client.is_there(path).await?))
    }

    async fn unregister_app(&self, slug: &Slug) -> StepResult<()> {
        if !self.client.target().site(slug.as_str()).passenger {
            return Ok(());
        }
        let list = Call::uapi("PassengerApps", "list_applications");
        let apps = self.client.call(&list).await?;
        let name = slug.as_str();
        let by_name = |app: &Value| app.get("name").and_then(Value::as_str) == Some(name);
        if apps.get(name).is_none() && !items(&apps).into_iter().any(by_name) {
            return Ok(());
        }
        let call = Call::uapi("PassengerApps", "unregister_application").with("name", name);
        self.client.call(&call).await.map(drop)
    }

    /// The one that the host pulls by itself.
    async fn remove_repository(&self, slug: &Slug) -> StepResult<()> {
        if self.git(slug).is_none() {
            return Ok(());
        }
        let root = self.root(slug).await?;
        if self.known(&root).await?.is_none() {
            return Ok(());
        }
        let call = Call::uapi("VersionControl", "delete").with("repository_root", &root);
        self.client.call(&call).await.map(drop)
    }

    /// Where deployr's link is, comes what was there before it.
    async fn give_document_root_back(&self, slug: &Slug, base: &str) -> StepResult<()> {
        let noted = self.client.read_file(&format!("{base}/docroot")).await?;
        let Some(path) = noted
            .as_deref()
            .map(str::trim)
            .filter(|path| !path.is_empty())
        else {
            return Ok(());
        };
        let (dir, name) = split(path);
        let kind = self.client.list(dir).await?.get(name).map(|one| one.kind);
        match kind {
            Some(Kind::Link) if self.is_its_link(slug, path).await? => {
                self.client.remove(path).await?;
            }
            Some(Kind::Link) => {
                tracing::info!(
                    project = %slug, host = %self.client.target(), path,
                    "the link at this document root stays, as it may be another project's"
                );
                return Ok(());
            }
            None => {}
            Some(_) => return Ok(()), // somebody's own by now
        }
        let there = self.client.list(base).await?;
        let mut before = there.entries.iter();
        match before.find(|entry| entry.name.starts_with("docroot.before.")) {
            Some(before) => {
                let before = format!("{base}/{}", before.name);
                self.client.rename(&before, path).await
            }
            None => Ok(()),
        }
    }

    /// Whether the link at a document root that the project has noted is still the project's:
    /// its domain may have gone to another one, which has made a link of its own there.
    async fn is_its_link(&self, slug: &Slug, path: &str) -> StepResult<bool> {
        let domain = self.client.target().site(slug.as_str()).domain.as_deref();
        let root = match domain {
            Some(domain) => self.root_of(domain).await,
            None => Ok(None),
        };
        let is_its_own = match root {
            Ok(root) => root.as_deref() == Some(path),
            // It lies outside of the home by now.
            Err(StepError::Fault(fault)) if !fault.retryable => false,
            Err(error) => return Err(error),
        };
        if !is_its_own && path != format!("{}/www", self.base(slug)) {
            return Ok(false);
        }
        let root = &self.client.target().root;
        for entry in self.client.list(root).await?.entries {
            if entry.kind == Kind::Dir && entry.name != slug.as_str() {
                let noted = format!("{root}/{}/docroot", entry.name);
                let noted = self.client.read_file(&noted).await?;
                if noted.as_deref().map(str::trim) == Some(path) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Whether deployr has made it in a project's folder. What was at a document root before its
/// link is not: it is given back, or stays.
fn is_ours(entry: &Entry) -> bool {
    let name = entry.name.as_str();
    OURS.contains(&name)
        || ["releases", "incoming", "lock"].contains(&name)
        || name.starts_with(".current.")
        || name.starts_with("lock.")
}

/// `<number>.<attempt>.<random>`, and what became of it.
fn is_incoming(name: &str) -> bool {
    let number = name.split('.').next();
    number.is_some_and(|number| number.parse::<i64>().is_ok())
}
