//! How a project goes from all hosts of a target.

use std::time::Duration;

use deployr_core::error::StepResult;
use deployr_core::value::Slug;

use super::SshExecutor;
use super::host::Host;
use super::script;
use crate::left;

/// How long its processes have to end, in seconds.
const GRACE: &str = "10";
/// How long the files of all of its releases may take to be deleted.
const DELETING: Duration = Duration::from_secs(600);

impl SshExecutor {
    /// Where a host does not answer, the others are cleared all the same.
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let of = slug.clone();
        self.on_all(move |host| {
            let slug = of.clone();
            async move { host.remove(&slug, purge).await }
        })
        .await
        .map(drop)
    }
}

impl Host {
    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let limit = self.session.patience() + DELETING;
        let words = [GRACE, if purge { "purge" } else { "keep" }];
        let names = self.ask_within(limit, slug.as_str(), script::REMOVE, &words, None);
        let names = names.await?;
        let target = self.session.target();
        let folder = format_args!("{}/{slug}", target.root);
        left::tell(slug, target, folder, names.lines());
        Ok(())
    }
}
