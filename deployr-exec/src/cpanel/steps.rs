//! The steps of a deployment on an account.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::Artifact;
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, Verdict, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, Turn};
use deployr_core::value::Slug;

use super::place::{APP, Placed, go_on};
use super::{Account, CpanelExecutor, plan};
use crate::health::{self, Answer};

#[async_trait]
impl Executor for CpanelExecutor {
    fn name(&self) -> &str {
        "cpanel"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        let sites = &self.account.client.target().sites;
        let beside = !sites
            .values()
            .any(|site| site.passenger || site.git.is_some());
        ExecutorCapabilities {
            // Passenger's are the host's own: none runs beside another.
            processes: false,
            side_by_side: beside,
            // Whether a host replaces a link in one step is seen when it has done so.
            atomic_switch: false,
            verifies: true,
        }
    }

    fn accepts(&self, slug: &Slug, recipe: &Recipe) -> Result<(), Verdict> {
        plan::accepts(self.account.client.target(), slug, recipe)
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        plan::plan(self.account.client.target(), slug, recipe)
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        go_on(ctx)?;
        self.accepts(&spec.slug, &spec.recipe)?;
        match self.account.git(&spec.slug) {
            Some(git) => self.account.pull(git, spec, ctx).await,
            None => self.account.place(spec, artifact, ctx).await,
        }
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        go_on(ctx)?;
        self.accepts(&spec.slug, &spec.recipe)?;
        let folder = match self.account.git(&spec.slug) {
            Some(git) => self.account.expect_pulled(git, spec).await?,
            None => self.account.expect_placed(spec).await?.folder,
        };
        let home = self.account.client.home().await?;
        Ok(Endpoint::Served {
            path: PathBuf::from(home).join(folder),
            address: None,
        })
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        _endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        // What `.cpanel.yml` makes of a repository is only there once it has run.
        if self.account.git(&spec.slug).is_some() {
            return Ok(());
        }
        self.account.verify(spec, ctx).await
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        match self.account.git(&spec.slug) {
            Some(git) => self.account.run_tasks(git, spec, turn, ctx).await,
            None => self.account.switch(spec, turn, ctx).await,
        }
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        match self.account.git(slug) {
            Some(_) => self.account.pulled_and_run(slug).await,
            None => self.account.current(slug).await,
        }
    }

    async fn retire(&self, slug: &Slug, number: i64, _grace: Duration) -> StepResult<()> {
        self.account.not_present(slug, number).await
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        self.account.discard(slug, number).await
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        self.account.prune(slug, keep).await
    }

    async fn remove(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        self.account.remove_project(slug, purge).await
    }
}

impl Account {
    /// Whether the health path has a file, or something to run it, before anybody visits.
    async fn verify(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let placed = self.expect_placed(spec).await?;
        let found = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            found = health::wait(&spec.recipe.health, || self.look(spec, &placed)) => found,
        };
        match found {
            Ok(healthy) => {
                ctx.log
                    .say(format!("release {} is whole: {healthy}", spec.number))
                    .await;
                Ok(())
            }
            Err(unhealthy) => {
                let message = format!(
                    "release {} is {unhealthy}. Set the health path to a file of the site, or the \
                     output folder (`web` of the account's settings, too) to where it is",
                    spec.number
                );
                Err(StepError::verdict(VerdictCode::Unhealthy, message))
            }
        }
    }

    async fn look(&self, spec: &ReleaseSpec, placed: &Placed) -> Answer {
        let site = self.client.target().site(spec.slug.as_str());
        let (web, check) = (site.web_of(&placed.folder), &spec.recipe.health);
        let mut wanted = Vec::new();
        if site.passenger {
            wanted.push(format!("{}/{APP}", placed.folder));
        } else {
            if let Some(path) = health::file_path(check) {
                let path = path.trim_end_matches('/');
                let at = if path.is_empty() {
                    web.clone()
                } else {
                    format!("{web}/{path}")
                };
                wanted.extend(["index.html", "index.php"].map(|file| format!("{at}/{file}")));
                if !path.is_empty() {
                    wanted.insert(0, at);
                }
            }
            // It answers for all paths that have no file.
            wanted.push(format!("{web}/index.php"));
            if matches!(
                spec.recipe.runtime,
                deployr_core::model::Runtime::Static { single_page: true }
            ) {
                wanted.push(format!("{web}/index.html"));
            }
        }
        for path in wanted {
            match self.client.is_there(&path).await {
                Ok(true) => return health::file(true, check),
                Ok(false) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        health::file(false, check)
    }
}
