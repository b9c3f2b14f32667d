//! What is removed from an account: releases, what was left of work that was cut off.

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::Slug;

use super::Account;
use super::lock::{Lock, random};
use super::place::number_of;

impl Account {
    pub(super) async fn not_present(&self, slug: &Slug, number: i64) -> StepResult<()> {
        if self.current(slug).await? != Some(number) {
            return Ok(());
        }
        let release = format!("release {number} of {slug}");
        let reason = "it is the present one; switch to another release first";
        Err(Fault::permanent("remove", release, reason).into())
    }

    pub(super) async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        let base = self.base(slug);
        if let Some(placed) = self.placed(slug, number).await? {
            let lock = Lock::take(&self.client, &base).await?;
            let gone = format!("{base}/incoming/{number}.gone.{}", random());
            let held = lock.account();
            let renamed = async {
                held.not_present(slug, number).await?;
                held.client.make_dirs(&format!("{base}/incoming")).await?;
                lock.still_held().await?;
                // It loses its name first, so that one which is half deleted is never
                // mistaken for a whole one.
                held.client.rename(&placed.folder, &gone).await
            };
            let renamed = renamed.await;
            lock.give_back().await;
            renamed?;
        }
        self.sweep(slug, |left| left == number).await
    }

    pub(super) async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let base = self.base(slug);
        let there = self.client.list(&format!("{base}/releases")).await?;
        let present = self.current(slug).await?;
        let newest = keep.iter().copied().chain(present).max();
        let numbers = there
            .entries
            .iter()
            .filter_map(|entry| number_of(&entry.name));
        let mut removed: Vec<i64> = numbers
            .filter(|number| !keep.contains(number) && present != Some(*number))
            .filter(|number| Some(*number) < newest)
            .collect();
        removed.sort_unstable();
        for number in &removed {
            self.discard(slug, *number).await?;
        }
        if let Some(newest) = newest {
            self.sweep(slug, |left| left <= newest).await?;
        }
        Ok(removed)
    }

    /// Removes what work on these releases has left.
    async fn sweep(&self, slug: &Slug, is_over: impl Fn(i64) -> bool + Send) -> StepResult<()> {
        let incoming = format!("{}/incoming", self.base(slug));
        for entry in self.client.list(&incoming).await?.entries {
            let number = entry
                .name
                .split('.')
                .next()
                .and_then(|number| number.parse().ok());
            if number.is_some_and(&is_over) {
                self.client
                    .remove(&format!("{incoming}/{}", entry.name))
                    .await?;
            }
        }
        Ok(())
    }
}
