//! The executor itself.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::{Endpoint, Executor, ExecutorCapabilities, ReleaseSpec};
use deployr_core::model::{Recipe, ReleaseId, Runtime, Turn};
use deployr_core::value::Slug;
use tokio::time::Instant;

use crate::bucket::{self, Bucket};
use crate::keys::{self, Current, current, files, mark};

/// Publishes sites into a [`Bucket`].
///
/// ```
/// use deployr_core::executor::Executor;
/// use deployr_custom_executor_example::{Bucket, BucketExecutor};
///
/// let executor = BucketExecutor::new(Bucket::new("bucket"));
/// assert!(executor.capabilities().zero_downtime());
/// assert!(!executor.capabilities().processes, "a bucket holds files");
/// // Engine::builder().executor("bucket", Arc::new(executor))
/// ```
#[derive(Debug, Clone)]
pub struct BucketExecutor {
    bucket: Bucket,
}

impl BucketExecutor {
    /// An executor that owns all of the bucket.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    async fn present(&self, slug: &Slug) -> StepResult<Current> {
        let key = current(slug);
        let Some(bytes) = self
            .bucket
            .get(&key)
            .await
            .map_err(|error| Fault::io("read", &key, error))?
        else {
            return Ok(Current::default());
        };
        serde_json::from_slice(&bytes).map_err(|error| Fault::permanent("read", &key, error).into())
    }

    async fn is_placed(&self, slug: &Slug, number: i64, release: ReleaseId) -> StepResult<bool> {
        let key = mark(slug, number);
        let mark = self
            .bucket
            .get(&key)
            .await
            .map_err(|error| Fault::io("read", &key, error))?;
        Ok(mark.is_some_and(|mark| mark == release.to_string().as_bytes()))
    }

    async fn must_be_placed(&self, spec: &ReleaseSpec) -> StepResult<()> {
        if self
            .is_placed(&spec.slug, spec.number, spec.release)
            .await?
        {
            return Ok(());
        }
        let message = format!(
            "release {} is not in the bucket; deploy its commit again",
            spec.number
        );
        Err(StepError::verdict(VerdictCode::ReleaseGone, message))
    }

    async fn upload(&self, folder: &Path, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let read = |error: io::Error| Fault::io("read", folder.display(), error);
        for file in bucket::files(folder).await.map_err(read)? {
            go_on(ctx)?;
            let content = tokio::fs::read(folder.join(&file)).await;
            let content = content.map_err(|error| match error.kind() {
                io::ErrorKind::IsADirectory => StepError::verdict(
                    VerdictCode::Unsupported,
                    format!(
                        "{} is a link to a folder, which a bucket cannot have; copy it",
                        file.display()
                    ),
                ),
                _ => read(error).into(),
            })?;
            let key = format!("{}/{}", files(&spec.slug, spec.number), file.display());
            self.bucket
                .put(&key, &content)
                .await
                .map_err(|error| Fault::io("put", &key, error))?;
        }
        Ok(())
    }
}

fn go_on(ctx: &StepContext) -> StepResult<()> {
    if ctx.cancel.is_cancelled() {
        Err(StepError::Stopped)
    } else {
        Ok(())
    }
}

/// Whether it is a single page; a verdict where it is no site at all.
fn single_page(recipe: &Recipe) -> StepResult<bool> {
    match &recipe.runtime {
        Runtime::Static { single_page } => Ok(*single_page),
        _ => {
            let message =
                "a bucket holds files and runs nothing; choose another target for this project";
            Err(StepError::verdict(VerdictCode::Unsupported, message))
        }
    }
}

#[async_trait]
impl Executor for BucketExecutor {
    fn name(&self) -> &str {
        "bucket"
    }

    fn capabilities(&self) -> ExecutorCapabilities {
        ExecutorCapabilities {
            processes: false,
            side_by_side: true,
            atomic_switch: true,
            verifies: true,
        }
    }

    fn plan(&self, slug: &Slug, recipe: &Recipe) -> Vec<PlannedStep> {
        vec![
            PlannedStep::new(format!("put the files as {slug}/releases/<number>/…")),
            PlannedStep::new(format!("look for the file of {}", recipe.health.path)),
            PlannedStep::new(format!("put {}", current(slug))),
        ]
    }

    async fn prepare(
        &self,
        spec: &ReleaseSpec,
        artifact: &Artifact,
        ctx: &StepContext,
    ) -> StepResult<()> {
        go_on(ctx)?;
        single_page(&spec.recipe)?;
        let ArtifactContent::Folder(folder) = &artifact.content else {
            return Err(StepError::verdict(
                VerdictCode::Unsupported,
                "a bucket takes folders, not images",
            ));
        };
        if self
            .is_placed(&spec.slug, spec.number, spec.release)
            .await?
        {
            return Ok(());
        }
        // What an attempt that was cut off has left.
        self.discard(&spec.slug, spec.number).await?;
        self.upload(folder, spec, ctx).await?;
        let key = mark(&spec.slug, spec.number);
        let put = self
            .bucket
            .put(&key, spec.release.to_string().as_bytes())
            .await;
        Ok(put.map_err(|error| Fault::io("put", &key, error))?)
    }

    async fn start(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<Endpoint> {
        go_on(ctx)?;
        let single_page = single_page(&spec.recipe)?;
        self.must_be_placed(spec).await?;
        Ok(Endpoint::Folder {
            path: self.bucket.path(&files(&spec.slug, spec.number)),
            single_page,
        })
    }

    async fn verify(
        &self,
        spec: &ReleaseSpec,
        _endpoint: &Endpoint,
        ctx: &StepContext,
    ) -> StepResult<()> {
        // Object storage may show what was put a moment later.
        let health = &spec.recipe.health;
        let candidates = keys::pages(spec);
        let deadline = Instant::now() + health.deadline();
        loop {
            go_on(ctx)?;
            for key in &candidates {
                if self.bucket.has(key).await {
                    ctx.log.say(format!("found {key}")).await;
                    return Ok(());
                }
            }
            let now = Instant::now();
            if now >= deadline {
                let wanted = candidates.join(", ");
                let message = format!("the site has no {} (looked for {wanted})", health.path);
                return Err(StepError::verdict(VerdictCode::Unhealthy, message));
            }
            tokio::select! {
                () = ctx.cancel.cancelled() => {}
                () = tokio::time::sleep_until((now + health.interval()).min(deadline)) => {}
            }
        }
    }

    async fn switch(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) -> StepResult<()> {
        go_on(ctx)?;
        self.must_be_placed(spec).await?;
        // Calls for one project do not overlap, so nothing comes between the two.
        let seen = self.present(&spec.slug).await?.turn;
        if turn < seen {
            let reason = format!("{seen} has switched already, and {turn} is older");
            return Err(Fault::permanent("switch", &spec.slug, reason).into());
        }
        let key = current(&spec.slug);
        let content = serde_json::json!(Current {
            release: Some(spec.number),
            turn
        })
        .to_string();
        Ok(self
            .bucket
            .put(&key, content.as_bytes())
            .await
            .map_err(|error| Fault::io("put", &key, error))?)
    }

    async fn current(&self, slug: &Slug) -> StepResult<Option<i64>> {
        Ok(self.present(slug).await?.release)
    }

    async fn retire(&self, _slug: &Slug, _number: i64, _grace: Duration) -> StepResult<()> {
        // Nothing runs.
        Ok(())
    }

    async fn discard(&self, slug: &Slug, number: i64) -> StepResult<()> {
        if self.present(slug).await?.release == Some(number) {
            let subject = format!("release {number} of {slug}");
            return Err(Fault::permanent(
                "discard",
                subject,
                "it is the present one; switch first",
            )
            .into());
        }
        // The mark first: what is half gone is not whole.
        let gone = async {
            self.bucket.delete(&mark(slug, number)).await?;
            self.bucket.delete_all(&files(slug, number)).await
        };
        Ok(gone
            .await
            .map_err(|error| Fault::io("delete", files(slug, number), error))?)
    }

    async fn prune(&self, slug: &Slug, keep: &[i64]) -> StepResult<Vec<i64>> {
        let present = self.present(slug).await?.release;
        let group = format!("{slug}/releases");
        let names = self
            .bucket
            .names(&group)
            .await
            .map_err(|error| Fault::io("list", &group, error))?;
        let mut numbers: Vec<i64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        // One above all that is kept may be on its way in.
        let newest = keep.iter().copied().chain(present).max();
        numbers.retain(|number| !keep.contains(number) && Some(*number) < newest);
        numbers.retain(|number| present != Some(*number));
        numbers.sort_unstable();
        for &number in &numbers {
            self.discard(slug, number).await?;
        }
        Ok(numbers)
    }

    async fn remove(&self, slug: &Slug, _purge: bool) -> StepResult<()> {
        // What the site shows goes first, as when it is switched to. An app that only is files
        // has written nothing that could be kept.
        let gone = async {
            self.bucket.delete(&current(slug)).await?;
            self.bucket.delete_all(slug.as_str()).await
        };
        Ok(gone
            .await
            .map_err(|error| Fault::io("delete", slug, error))?)
    }
}
