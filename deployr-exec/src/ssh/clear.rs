//! What ends on a host: processes, releases, what was left of work that was cut off.

use std::time::Duration;

use deployr_core::error::StepResult;
use deployr_core::value::Slug;

use super::host::Host;
use super::script;

/// How long the processes of a release that is discarded have to end.
const DISCARD_GRACE: Duration = Duration::from_secs(1);

/// What is there of a project.
#[derive(Debug, Default)]
struct Listed {
    present: Option<i64>,
    releases: Vec<i64>,
    runs: Vec<i64>,
}

impl Host {
    pub(super) async fn retire(&self, slug: &Slug, number: i64, grace: Duration) -> StepResult<()> {
        self.stop(slug, number, grace, "keep").await
    }

    pub(super) async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.stop(slug, number, DISCARD_GRACE, "remove").await
    }

    async fn stop(&self, slug: &Slug, number: i64, grace: Duration, files: &str) -> StepResult<()> {
        // A part of a second is a whole one there.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let limit = grace + self.session.patience() + Duration::from_secs(15);
        let (number, seconds) = (number.to_string(), seconds.to_string());
        let words = [number.as_str(), &seconds, files];
        self.ask_within(limit, slug.as_str(), script::RETIRE, &words, None)
            .await
            .map(drop)
    }

    pub(super) async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let there = self.list_and_sweep(slug, keep).await?;
        let newest = keep.iter().copied().chain(there.present).max();
        let mut removed = Vec::new();
        for number in there.releases {
            let stays = keep.contains(&number) || there.present == Some(number);
            if !stays && Some(number) < newest {
                self.discard(slug, number).await?;
                removed.push(number);
            }
        }
        // Of those that stay only the present one may run.
        for number in there.runs {
            if keep.contains(&number) && there.present != Some(number) {
                self.retire(slug, number, DISCARD_GRACE).await?;
            }
        }
        Ok(removed)
    }

    /// What is there, without what was left of work that is over.
    async fn list_and_sweep(&self, slug: &Slug, keep: &[i64]) -> StepResult<Listed> {
        let newest = keep.iter().max().unwrap_or(&0).to_string();
        let text = self
            .ask(slug.as_str(), script::LIST, &[&newest], None)
            .await?;
        let mut there = Listed::default();
        for line in text.lines() {
            let (kind, number) = line.split_once(' ').unwrap_or_default();
            let Ok(number) = number.parse() else { continue };
            match kind {
                "present" => there.present = Some(number),
                "release" => there.releases.push(number),
                _ => there.runs.push(number),
            }
        }
        there.releases.sort_unstable();
        Ok(there)
    }
}
