//! Cron's lines of a project: those that end with its mark. The crontab is the account's, and
//! a line is removed by its number, which changes with each that goes: so it is changed under
//! the account's lock, and never by two projects at once.

use deployr_core::context::StepContext;
use deployr_core::error::StepResult;
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::Slug;
use serde_json::Value;

use super::Account;
use super::call::{Call, items, number};
use super::lock::Lock;

const FIELDS: [&str; 5] = ["minute", "hour", "day", "month", "weekday"];

/// The fields of a line, and its command.
type Line<'a> = (Vec<&'a str>, String);

impl Account {
    /// Makes the project's lines those that its site has.
    pub(super) async fn sync_cron(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let site = self.client.target().site(spec.slug.as_str());
        let noted = self.cron_note(&spec.slug);
        if site.cron.is_empty() && !self.client.is_there(&noted).await? {
            return Ok(());
        }
        let mark = mark(&spec.slug);
        let folder = format!("{}/current", self.base(&spec.slug));
        let lines = site.cron.iter().map(|cron| {
            let command = format!("cd {folder} && {} {mark}", cron.command);
            (cron.fields(), command)
        });
        let wanted: Vec<Line<'_>> = lines.collect();
        // So that lines are found again that are no longer wanted.
        self.client.write_file(&noted, &mark).await?;
        for (fields, command) in self.set_lines(&mark, &wanted).await? {
            ctx.log
                .say(format!("cron runs {} {command}", fields.join(" ")))
                .await;
        }
        Ok(())
    }

    pub(super) async fn remove_cron(&self, slug: &Slug) -> StepResult<()> {
        match self.client.is_there(&self.cron_note(slug)).await? {
            true => self.set_lines(&mark(slug), &[]).await.map(drop),
            false => Ok(()),
        }
    }

    fn cron_note(&self, slug: &Slug) -> String {
        format!("{}/cron", self.base(slug))
    }

    /// Makes the lines with the mark these; gives those that were added.
    async fn set_lines<'a>(
        &self,
        mark: &str,
        wanted: &'a [Line<'a>],
    ) -> StepResult<Vec<&'a Line<'a>>> {
        // Mostly they are those already, which needs no lock.
        let (stale, missing) = self.differences(mark, wanted).await?;
        if stale.is_none() && missing.is_empty() {
            return Ok(missing);
        }
        let lock = Lock::take_of_account(&self.client).await?;
        let set = lock.account().set_under(&lock, mark, wanted).await;
        lock.give_back().await;
        set
    }

    async fn set_under<'a>(
        &self,
        lock: &Lock,
        mark: &str,
        wanted: &'a [Line<'a>],
    ) -> StepResult<Vec<&'a Line<'a>>> {
        let missing = loop {
            // Numbers change with each line that is removed.
            let (stale, missing) = self.differences(mark, wanted).await?;
            let Some(line) = stale else { break missing };
            lock.still_held().await?;
            let call = Call::api2("Cron", "remove_line").with("line", line.to_string());
            // Not again where the answer is lost: another line has that number then.
            let removed = self.client.once(&call).await;
            removed.map_err(|failed| self.client.explain(&call, failed))?;
        };
        for (fields, command) in &missing {
            lock.still_held().await?;
            let call = FIELDS.iter().zip(fields).fold(
                Call::api2("Cron", "add_line").with("command", command),
                |call, (name, value)| call.with(*name, *value),
            );
            // Nor this: the next deployment sees what is there.
            let added = self.client.once(&call).await;
            added.map_err(|failed| self.client.explain(&call, failed))?;
        }
        Ok(missing)
    }

    /// The number of a line that is not wanted, and what is wanted and not there.
    async fn differences<'a>(
        &self,
        mark: &str,
        wanted: &'a [Line<'a>],
    ) -> StepResult<(Option<u64>, Vec<&'a Line<'a>>)> {
        let there = self.client.call(&Call::api2("Cron", "listcron")).await?;
        let (mut stale, mut missing): (_, Vec<_>) = (None, wanted.iter().collect());
        for line in items(&there) {
            let Some(command) = line.get("command").and_then(Value::as_str) else {
                continue;
            };
            if !command.ends_with(mark) {
                continue;
            }
            let is_it = |(fields, text): &&Line<'_>| text == command && has_fields(line, fields);
            match missing.iter().position(is_it) {
                Some(at) => drop(missing.remove(at)),
                None => stale = line.get("count").and_then(number),
            }
        }
        Ok((stale, missing))
    }
}

fn mark(slug: &Slug) -> String {
    format!("# deployr:{slug}")
}

fn has_fields(line: &Value, fields: &[&str]) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    FIELDS
        .iter()
        .zip(fields)
        .all(|(name, wanted)| line.get(name).is_some_and(|value| text(value) == *wanted))
}
