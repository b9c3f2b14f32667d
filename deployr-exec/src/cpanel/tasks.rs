//! The tasks of `.cpanel.yml`, begun once for a deployment.

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::log::LogStream;
use deployr_core::model::Turn;
use serde_json::{Value, json};

use super::Account;
use super::call::{Call, items, number};
use super::client::Failed;
use super::git::Wait;
use super::lock::Lock;
use super::pack::MARKER;
use super::place::go_on;
use super::site::Git;
use super::turn;

/// One run of the tasks.
struct Run {
    id: u64,
    log: Option<String>,
}

fn run_of(item: &Value) -> Option<Run> {
    Some(Run {
        // A text in one answer and a number in the next.
        id: item.get("deploy_id").and_then(number)?,
        log: item
            .get("log_path")
            .and_then(Value::as_str)
            .map(str::to_owned),
    })
}

impl Account {
    /// Runs `.cpanel.yml`.
    pub(super) async fn run_tasks(
        &self,
        git: &Git,
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<()> {
        go_on(ctx)?;
        self.expect_pulled(git, spec).await?;
        self.set_php(spec, ctx).await?;
        let (base, root) = (self.base(&spec.slug), self.root(&spec.slug).await?);
        let lock = Lock::take(&self.client, &base).await?;
        let begun = lock.account().begin(&lock, &base, &root, turn).await;
        lock.give_back().await;
        let Run { id, log } = begun?;
        let ended = self.end_of(id, ctx).await;
        if let Some(path) = log {
            self.show_log(&path, ctx).await;
        }
        match ended? {
            "succeeded" => {}
            how => {
                let message =
                    format!("the tasks of .cpanel.yml have {how}; their output is in the log");
                return Err(StepError::verdict(VerdictCode::StartFailed, message));
            }
        }
        let marker = json!({"release": spec.release, "number": spec.number, "commit": spec.commit});
        self.client
            .write_file(&format!("{base}/{MARKER}"), &marker.to_string())
            .await?;
        self.sync_cron(spec, ctx).await
    }

    /// Begins the tasks, once for a deployment: where the answer was lost, in this attempt or
    /// in one before it, what has been begun since is what it began.
    async fn begin(&self, lock: &Lock, base: &str, root: &str, turn: Turn) -> StepResult<Run> {
        let path = format!("{base}/turn");
        let highest = self.client.read_file(&path).await?;
        turn::check(turn, highest.as_deref(), &path)?;
        let note = format!("{base}/tasks");
        let newest = self.runs(root).await?.into_iter().map(|run| run.id).max();
        let noted = self.client.read_file(&note).await?.unwrap_or_default();
        let before = match noted.trim().split_once(' ') {
            Some((of, before)) if of == turn.deployment.to_string() => before.parse().ok(),
            _ => None,
        };
        if let Some(before) = before
            && let Some(run) = self.run_after(before, root).await?
        {
            return Ok(run);
        }
        let before = newest.unwrap_or_default();
        let text = format!("{} {before}\n", turn.deployment);
        self.client.write_file(&note, &text).await?;
        lock.still_held().await?;
        self.client.write_file(&path, &turn::text(turn)).await?;
        lock.still_held().await?;
        let call = Call::uapi("VersionControlDeployment", "create").with("repository_root", root);
        let was_unsettled = self.client.is_unsettled();
        match self.client.once(&call).await {
            Ok(answer) => run_of(&answer.data).ok_or_else(|| {
                let reason = "it does not say which run of the tasks it has begun; deploy again";
                Fault::retryable("run", self.client.target(), reason).into()
            }),
            Err(failed @ (Failed::Lost(_) | Failed::Silent(_))) => {
                match self.run_after(before, root).await? {
                    Some(run) => {
                        self.client.set_unsettled(was_unsettled);
                        Ok(run)
                    }
                    None => Err(self.client.explain(&call, failed)),
                }
            }
            Err(failed) => Err(self.client.explain(&call, failed)),
        }
    }

    async fn run_after(&self, before: u64, root: &str) -> StepResult<Option<Run>> {
        let runs = self.runs(root).await?.into_iter();
        Ok(runs.filter(|run| run.id > before).min_by_key(|run| run.id))
    }

    async fn runs(&self, root: &str) -> StepResult<Vec<Run>> {
        let call = Call::uapi("VersionControlDeployment", "retrieve");
        let all = self.client.call(&call).await?;
        let of = |item: &&Value| {
            let of = item.get("repository_root").and_then(Value::as_str);
            of.is_none_or(|of| of == root)
        };
        Ok(items(&all)
            .into_iter()
            .filter(of)
            .filter_map(run_of)
            .collect())
    }

    async fn ended(&self, id: u64) -> StepResult<Option<&'static str>> {
        let all = self
            .client
            .call(&Call::uapi("VersionControlDeployment", "retrieve"))
            .await?;
        let mine = items(&all)
            .into_iter()
            .find(|item| item.get("deploy_id").and_then(number) == Some(id));
        let times = mine.and_then(|item| item.get("timestamps"));
        let has = |key: &&str| {
            times
                .and_then(|times| times.get(*key))
                .is_some_and(|time| !time.is_null())
        };
        Ok(["succeeded", "failed", "canceled"].into_iter().find(has))
    }

    async fn show_log(&self, path: &str, ctx: &StepContext) {
        let read = async {
            let home = self.client.home().await?;
            let below = path
                .strip_prefix(&home)
                .unwrap_or(path)
                .trim_start_matches('/');
            self.client.read_file(below).await
        };
        match read.await {
            Ok(text) => {
                ctx.log
                    .write(LogStream::Stdout, text.unwrap_or_default().as_bytes())
                    .await
            }
            Err(error) => {
                ctx.log
                    .say(format!("warning: its log was not read: {error}"))
                    .await
            }
        }
    }

    async fn end_of(&self, id: u64, ctx: &StepContext) -> StepResult<&'static str> {
        let mut wait = Wait::new();
        loop {
            match self.ended(id).await? {
                Some(how) => return Ok(how),
                None => self.pause(&mut wait, "run", ctx).await?,
            }
        }
    }
}
