//! Which release is present, and how that is changed: `current` is a link, and so is the
//! domain's document root, which leads through it.

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Turn;
use deployr_core::value::Slug;

use super::Account;
use super::call::Call;
use super::client::Failed;
use super::files::{Kind, split};
use super::lock::{Lock, random};
use super::place::{Placed, go_on};
use super::turn;

impl Account {
    /// The number of the present release.
    pub(super) async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        let base = self.base(slug);
        let current = format!("{base}/current");
        if let Some(marker) = self.marker(&current).await? {
            if let Some(number) = marker.get("number").and_then(serde_json::Value::as_i64) {
                return Ok(Some(number));
            }
        } else if self.client.list(&base).await?.get("current").is_none() {
            return Ok(None);
        }
        let reason = "it is not deployr's, or leads to no release; move it away and try again";
        Err(Fault::permanent(
            "read",
            format!("{}:{current}", self.client.target()),
            reason,
        )
        .into())
    }

    pub(super) async fn switch(
        &self,
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<()> {
        go_on(ctx)?;
        // Where nothing was ever placed there is no folder to lock.
        let placed = self.expect_placed(spec).await?;
        self.set_php(spec, ctx).await?;
        let before = self.turned(spec, turn, ctx).await?;
        let healthy = async {
            self.lead_document_root(spec, ctx).await?;
            self.run_app(spec, &placed, ctx).await?;
            self.sync_cron(spec, ctx).await?;
            self.prove(spec, &placed, ctx).await
        };
        let Err(error) = healthy.await else {
            return Ok(());
        };
        // Who stops it decides what becomes of it; and Passenger's variables are the new
        // release's by now, so going back is a switch, which only the caller can make.
        let passenger = self.client.target().site(spec.slug.as_str()).passenger;
        if !matches!(error, StepError::Stopped) && !passenger {
            match before.filter(|before| *before != spec.number) {
                Some(before) => self.go_back(spec, before, turn, ctx).await,
                None => {
                    ctx.log
                        .say("there is no release before it to go back to")
                        .await
                }
            }
        }
        Err(error)
    }

    /// The switch itself, under the lock. Gives the number of the release before.
    async fn turned(
        &self,
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<Option<i64>> {
        let base = self.base(&spec.slug);
        let lock = Lock::take(&self.client, &base).await?;
        let held = lock.account();
        let done = async {
            // Under the lock: nobody discards it between this look and the switch.
            let placed = held.expect_placed(spec).await?;
            let path = format!("{base}/turn");
            let highest = held.client.read_file(&path).await?;
            turn::check(turn, highest.as_deref(), &path)?;
            let before = held.current(&spec.slug).await?;
            lock.still_held().await?;
            held.client.write_file(&path, &turn::text(turn)).await?;
            if before != Some(spec.number) {
                let current = format!("{base}/current");
                held.lead(&current, &placed, &lock, ctx).await?;
            }
            Ok(before)
        };
        let done = done.await;
        lock.give_back().await;
        done
    }

    /// After a release that is not what visitors should get.
    async fn go_back(&self, spec: &ReleaseSpec, before: i64, turn: Turn, ctx: &StepContext) {
        let base = self.base(&spec.slug);
        let back = async {
            let lock = Lock::take(&self.client, &base).await?;
            let held = lock.account();
            let back = async {
                let path = format!("{base}/turn");
                let highest = held.client.read_file(&path).await?;
                turn::check(turn, highest.as_deref(), &path)?;
                let Some(placed) = held.placed(&spec.slug, before).await? else {
                    let message = format!("release {before} is gone");
                    return Err(StepError::verdict(VerdictCode::ReleaseGone, message));
                };
                let current = format!("{base}/current");
                held.lead(&current, &placed, &lock, ctx).await?;
                Ok(placed)
            };
            let back = back.await;
            lock.give_back().await;
            let placed = back?;
            self.forget_old_code(spec, &placed).await
        };
        let say = match back.await {
            Ok(()) => format!("went back to release {before}"),
            Err(error) => format!("warning: not back at release {before}: {error}"),
        };
        ctx.log.say(say).await;
    }

    /// Lets the link lead to the release: in one step where the host replaces links so,
    /// else with a moment in which it is not there. Each step that visitors see is taken only
    /// while the lock is held.
    async fn lead(
        &self,
        link: &str,
        placed: &Placed,
        lock: &Lock,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let (dir, name) = split(link);
        let is_there = self
            .client
            .list(dir)
            .await?
            .get(name)
            .map(|entry| entry.kind);
        match is_there {
            None => {
                lock.still_held().await?;
                return self.client.link(&placed.folder, link).await;
            }
            Some(Kind::Link) => {}
            Some(_) => {
                let reason = "it is no link of deployr's; move it away and deploy again";
                let what = format!("{}:{link}", self.client.target());
                return Err(Fault::permanent("replace", what, reason).into());
            }
        }
        let temp = format!(".{name}.{}", random());
        let new = format!("{dir}/{temp}");
        self.client.link(&placed.folder, &new).await?;
        let call = Call::fileop("rename", &new, Some(link));
        let leads = || async { Ok(self.marker(link).await?.as_ref() == Some(&placed.marker)) };
        lock.still_held().await?;
        match self.client.change(&call, leads()).await {
            Ok(()) | Err(Failed::Refused(_)) => {}
            Err(failed) => return Err(self.client.explain(&call, failed)),
        }
        if leads().await? {
            return Ok(());
        }
        // It was not replaced: refused, or moved into the folder that the link leads to.
        ctx.log
            .say("this host does not replace a link in one step: for a moment nothing is served")
            .await;
        for left in [new, format!("{link}/{temp}")] {
            let (dir, name) = split(&left);
            if self.client.list(dir).await?.get(name).is_some() {
                self.client.remove(&left).await?;
            }
        }
        lock.still_held().await?;
        self.client.remove(link).await?;
        self.client.link(&placed.folder, link).await
    }
}
