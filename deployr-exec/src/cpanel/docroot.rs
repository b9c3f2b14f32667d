//! The domain's document root: made a link that leads through `current`, once.

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use serde_json::Value;

use super::Account;
use super::call::{Call, items};
use super::client::Failed;
use super::files::{Kind, split};
use super::lock::{Lock, random};

/// What cPanel puts into a document root by itself.
pub(super) const ITS_OWN: &[&str] = &[".well-known", "cgi-bin"];

enum Root {
    /// It leads there already, or by itself.
    Leads,
    /// Nothing is there, or nothing of anybody's.
    Free(String),
}

impl Account {
    /// Whether the domain can be led to releases, before anything is sent.
    pub(super) async fn check_document_root(&self, spec: &ReleaseSpec) -> StepResult<()> {
        self.document_root(spec).await.map(drop)
    }

    pub(super) async fn lead_document_root(
        &self,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let Some(Root::Free(_)) = self.document_root(spec).await? else {
            return Ok(());
        };
        let lock = Lock::take(&self.client, &self.base(&spec.slug)).await?;
        let led = lock.account().lead_under(&lock, spec, ctx).await;
        lock.give_back().await;
        led
    }

    async fn lead_under(
        &self,
        lock: &Lock,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<()> {
        // Another may have led it there meanwhile.
        let Some(Root::Free(path)) = self.document_root(spec).await? else {
            return Ok(());
        };
        let base = self.base(&spec.slug);
        let site = self.client.target().site(spec.slug.as_str());
        let (dir, name) = split(&path);
        if self.client.list(dir).await?.get(name).is_some() {
            let aside = format!("{base}/docroot.before.{}", random());
            lock.still_held().await?;
            self.client.rename(&path, &aside).await?;
        }
        // First: a link without the note would be nobody's, and never be replaced.
        self.client
            .write_file(&format!("{base}/docroot"), &path)
            .await?;
        lock.still_held().await?;
        self.client
            .link(&site.web_of(&format!("{base}/current")), &path)
            .await?;
        ctx.log
            .say(format!(
                "the document root {path} leads to the present release"
            ))
            .await;
        Ok(())
    }

    /// None where there is no domain to lead.
    async fn document_root(&self, spec: &ReleaseSpec) -> StepResult<Option<Root>> {
        let site = self.client.target().site(spec.slug.as_str());
        let Some(domain) = site.domain.as_deref().filter(|_| !site.passenger) else {
            return Ok(None);
        };
        let base = self.base(&spec.slug);
        let path = match self.root_of(domain).await? {
            Some(path) => path,
            None => self.make_subdomain(domain, &base).await?,
        };
        let wanted = site.web_of(&format!("{base}/current"));
        if path == wanted {
            return Ok(Some(Root::Leads));
        }
        let (dir, name) = split(&path);
        let there = self.client.list(dir).await?;
        let refuse = |reason: String| {
            let what = format!("{}:{path}", self.client.target());
            Err(Fault::permanent("use", what, reason).into())
        };
        match there.get(name).map(|entry| entry.kind) {
            None => Ok(Some(Root::Free(path))),
            Some(Kind::Link) => {
                let made = self.client.read_file(&format!("{base}/docroot")).await?;
                if made.as_deref().map(str::trim) == Some(path.as_str()) {
                    return Ok(Some(Root::Leads));
                }
                refuse(format!(
                    "the document root of {domain} is a link that deployr has not made for this \
                     project; remove it in cPanel's File Manager and deploy again"
                ))
            }
            Some(Kind::Dir) => {
                let all = self.client.list(&path).await?.entries;
                match all
                    .iter()
                    .find(|entry| !ITS_OWN.contains(&entry.name.as_str()))
                {
                    None => Ok(Some(Root::Free(path))),
                    Some(found) => refuse(format!(
                        "the document root of {domain} has files of its own, such as {:?}; rename \
                         the folder in cPanel's File Manager, and deploy again: deployr makes a \
                         link of that name",
                        found.name
                    )),
                }
            }
            Some(_) => refuse(format!(
                "the document root of {domain} is no folder; move it away"
            )),
        }
    }

    /// Below the home; none where the account has no such domain.
    pub(super) async fn root_of(&self, domain: &str) -> StepResult<Option<String>> {
        let call = Call::uapi("DomainInfo", "single_domain_data").with("domain", domain);
        let data = match self.client.ask(&call).await {
            Ok(answer) => answer.data,
            Err(Failed::Refused(_)) => return Ok(None),
            Err(failed) => return Err(self.client.explain(&call, failed)),
        };
        let Some(root) = data.get("documentroot").and_then(Value::as_str) else {
            return Ok(None);
        };
        let home = self.client.home().await?;
        match root
            .strip_prefix(&home)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(path) if !path.is_empty() && !path.split('/').any(|part| part == "..") => {
                Ok(Some(path.trim_end_matches('/').to_owned()))
            }
            _ => {
                let reason =
                    format!("its document root {root} is not in the account's home {home}");
                Err(Fault::permanent("use", domain, reason).into())
            }
        }
    }

    async fn make_subdomain(&self, domain: &str, base: &str) -> StepResult<String> {
        let domains = self
            .client
            .call(&Call::uapi("DomainInfo", "list_domains"))
            .await?;
        let lists = ["main_domain", "addon_domains", "parked_domains"];
        let known = lists.iter().filter_map(|key| domains.get(key));
        let known = known.flat_map(|value| match value {
            Value::String(_) => vec![value],
            list => items(list),
        });
        let longest = known
            .filter_map(Value::as_str)
            .filter(|parent| {
                domain
                    .strip_suffix(parent)
                    .is_some_and(|sub| sub.ends_with('.'))
            })
            .max_by_key(|parent| parent.len());
        let Some(parent) = longest else {
            let message = format!(
                "the account {} has neither {domain} nor a domain that it could be a subdomain \
                 of; add it in cPanel under Domains, or set `domain` to one that is there",
                self.client.target()
            );
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        };
        let sub = domain
            .strip_suffix(parent)
            .unwrap_or(domain)
            .trim_end_matches('.');
        let dir = format!("{base}/www");
        let call = Call::uapi("SubDomain", "addsubdomain")
            .with("domain", sub)
            .with("rootdomain", parent)
            .with("dir", &dir);
        self.client.make_dirs(base).await?;
        self.client.call(&call).await?;
        Ok(dir)
    }
}
