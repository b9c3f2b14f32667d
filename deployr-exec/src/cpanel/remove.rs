//! How a project goes from an account. What the host has made for it by name goes first; the
//! domain gets its document root back; a database and a subdomain stay, as they cannot be told
//! from what their owner has made.

use deployr_core::error::StepResult;
use deployr_core::value::Slug;
use serde_json::Value;

use super::Account;
use super::call::{Call, items, number};
use super::files::{Kind, split};
use super::lock::Lock;

impl Account {
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let base = self.base(slug);
        if !self.client.is_there(&base).await? {
            return Ok(());
        }
        let lock = Lock::take(&self.client, &base).await?;
        let removed = lock.account().remove_all(slug, purge, &lock).await;
        lock.give_back().await;
        removed?;
        match self.client.list(&base).await?.entries.is_empty() {
            true => self.client.remove(&base).await,
            false => Ok(()), // what is kept
        }
    }

    async fn remove_all(&self, slug: &Slug, purge: bool, lock: &Lock) -> StepResult<()> {
        let base = self.base(slug);
        lock.still_held().await?;
        self.unregister_app(slug).await?;
        self.remove_cron(slug).await?;
        self.remove_repository(slug).await?;
        lock.still_held().await?;
        self.give_document_root_back(&base).await?;
        let shared = format!("{base}/shared");
        let keeps = !purge && !self.client.list(&shared).await?.entries.is_empty();
        let mut there = self.client.list(&base).await?.entries;
        // First, so that nothing that is half gone is present; and what says whose the
        // document root is, last.
        there.sort_by_key(|entry| match entry.name.as_str() {
            "current" => 0,
            "docroot" => 2,
            _ => 1,
        });
        for entry in there {
            if entry.name == "lock" || (keeps && entry.name == "shared") {
                continue;
            }
            lock.still_held().await?;
            self.client
                .remove(&format!("{base}/{}", entry.name))
                .await?;
        }
        Ok(())
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

    /// The lines that end with the project's mark.
    async fn remove_cron(&self, slug: &Slug) -> StepResult<()> {
        let noted = format!("{}/cron", self.base(slug));
        if !self.client.is_there(&noted).await? {
            return Ok(());
        }
        let mark = format!("# deployr:{slug}");
        let list = Call::api2("Cron", "listcron");
        let is_ours = |line: &&Value| {
            let command = line.get("command").and_then(Value::as_str);
            command.is_some_and(|command| command.ends_with(&mark))
        };
        loop {
            // Numbers change with each line that is removed.
            let there = self.client.call(&list).await?;
            let line = items(&there).into_iter().find(is_ours);
            let Some(count) = line.and_then(|line| number(line.get("count")?)) else {
                return Ok(());
            };
            let call = Call::api2("Cron", "remove_line").with("line", count.to_string());
            // Not again where the answer is lost: another line has that number then.
            let removed = self.client.once(&call).await;
            removed.map_err(|failed| self.client.explain(&call, failed))?;
        }
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
    async fn give_document_root_back(&self, base: &str) -> StepResult<()> {
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
            Some(Kind::Link) => self.client.remove(path).await?,
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
}
