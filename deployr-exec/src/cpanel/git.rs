//! The other way: the host pulls the repository by itself, and runs its `.cpanel.yml`
//! (`tasks.rs`). It only goes forward, runs in place, and takes nothing back.

use std::time::Duration;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Account;
use super::call::{Call, is_one, items};
use super::client::Failed;
use super::site::Git;

/// For a clone, and for the tasks.
const LONGEST: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

impl Account {
    pub(super) fn git(&self, slug: &Slug) -> Option<&Git> {
        self.client.target().site(slug.as_str()).git.as_ref()
    }

    fn repository(&self, slug: &Slug) -> String {
        format!("{}/repository", self.base(slug))
    }

    pub(super) async fn root(&self, slug: &Slug) -> StepResult<String> {
        Ok(format!(
            "{}/{}",
            self.client.home().await?,
            self.repository(slug)
        ))
    }

    pub(super) async fn known(&self, root: &str) -> StepResult<Option<Value>> {
        let call = Call::uapi("VersionControl", "retrieve").with(
            "fields",
            "branch,deployable,last_update,name,repository_root,tasks",
        );
        let all = self.client.call(&call).await?;
        let of = |item: &&Value| item.get("repository_root").and_then(Value::as_str) == Some(root);
        Ok(items(&all).into_iter().find(of).cloned())
    }

    /// Lets the host have the release's commit.
    pub(super) async fn pull(
        &self,
        git: &Git,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<()> {
        self.provide(spec, ctx).await?;
        let root = self.root(&spec.slug).await?;
        self.client.make_dirs(&self.base(&spec.slug)).await?;
        if self.known(&root).await?.is_none() {
            let source = json!({"remote_name": "origin", "url": git.repository.as_str()});
            let call = Call::uapi("VersionControl", "create")
                .with("name", spec.slug.as_str())
                .with("repository_root", &root)
                .with("type", "git")
                .with("source_repository", source.to_string());
            match self.client.once(&call).await {
                Ok(_) => {}
                // A second one of the same folder would be refused, or be another.
                Err(Failed::Lost(_) | Failed::Silent(_)) if self.known(&root).await?.is_some() => {}
                Err(failed) => return Err(self.client.explain(&call, failed)),
            }
            ctx.log
                .say(format!("the host clones {}", git.repository))
                .await;
        }
        let cloned = |found: Option<&Value>| {
            let tasks = found.and_then(|found| found.get("tasks")).map(items);
            found.is_some() && tasks.is_none_or(|tasks| tasks.is_empty())
        };
        let mut wait = Wait::new();
        while !cloned(self.known(&root).await?.as_ref()) {
            self.pause(&mut wait, "clone", ctx).await?;
        }
        let call = Call::uapi("VersionControl", "update")
            .with("repository_root", &root)
            .with("branch", &git.branch);
        self.client.call(&call).await?;
        self.expect_pulled(git, spec).await.map(drop)
    }

    /// Where the commit is, or that another one is there.
    pub(super) async fn expect_pulled(&self, git: &Git, spec: &ReleaseSpec) -> StepResult<String> {
        let root = self.root(&spec.slug).await?;
        let known = self.known(&root).await?.unwrap_or_default();
        let commit = known
            .pointer("/last_update/identifier")
            .and_then(Value::as_str);
        if commit != Some(spec.commit.to_string().as_str()) {
            let message = format!(
                "the host's copy of {} is at {}, not at {}: cPanel only pulls the newest commit of \
                 a branch, forward, and goes back to none. To go back, revert the commits and \
                 deploy that; to deploy another branch, set `git.branch`",
                git.branch,
                commit.unwrap_or("nothing"),
                spec.commit
            );
            return Err(StepError::verdict(VerdictCode::ReleaseGone, message));
        }
        if known.get("deployable").is_some_and(|value| !is_one(value)) {
            let message = "the host cannot deploy the repository: it needs a valid .cpanel.yml at \
                           its top, checked in, and no changes of its own";
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        }
        Ok(self.repository(&spec.slug))
    }

    pub(super) async fn pulled_and_run(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let marker = self.marker(&self.base(slug)).await?.unwrap_or_default();
        Ok(marker.get("number").and_then(Value::as_i64))
    }

    pub(super) async fn pause(
        &self,
        wait: &mut Wait,
        what: &'static str,
        ctx: &StepContext,
    ) -> StepResult<()> {
        if wait.start.elapsed() > LONGEST {
            let reason =
                "the host has not ended it in half an hour; see cPanel's Git Version Control";
            return Err(Fault::retryable(what, self.client.target(), reason).into());
        }
        tokio::select! {
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            () = sleep(wait.pause) => {}
        }
        wait.pause = (wait.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

pub(super) struct Wait {
    start: Instant,
    pause: Duration,
}

impl Wait {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            pause: PAUSE,
        }
    }
}
