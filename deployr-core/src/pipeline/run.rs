//! From the commit to the placed release.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::attempt::run_end_word;
use super::live::untold;
use super::step_fault;
use crate::builder::{Artifact, BuildSpec, Builder, Workspace};
use crate::bus::Hint;
use crate::context::StepContext;
use crate::engine::Inner;
use crate::error::{Fault, StepError, StepResult, VerdictCode};
use crate::executor::{Executor, ReleaseSpec};
use crate::job::{JobContext, StopReason};
use crate::log::LogStream;
use crate::model::{Cause, Deployment, Project, Release, ReleaseId, ReleaseState, Stage, Turn};
use crate::retry;
use crate::source::Source;
use crate::store::{NewRelease, StoreError};
use crate::value::{CommitId, EnvSet, GitRef};

/// One attempt at one deployment, and all that it needs.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Inner,
    pub(super) job: &'a JobContext,
    /// Which attempt it is, and how many there may be.
    pub(super) attempts: (u32, u32),
    /// Why nothing is begun any more.
    pub(super) given_up: Option<String>,
    pub(super) ctx: StepContext,
    pub(super) deployment: Deployment,
    pub(super) project: Project,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) env: EnvSet,
    /// Missed only once something is to be built.
    pub(super) source: Result<Source, Fault>,
    /// The release that shall go live, once there is one.
    pub(super) release: OnceLock<Release>,
    /// Whether the target may have been switched to it.
    pub(super) switched: AtomicBool,
    /// Whether it is known what an earlier attempt has left on the target.
    pub(super) looked: AtomicBool,
}

impl Run<'_> {
    /// The whole of it: in the end the release is live, or all is as it was before.
    pub(super) async fn carry_out(&self) -> StepResult<ReleaseId> {
        let error = match self.deploy().await {
            Err(error) => error,
            live => return live,
        };
        if !self.looked.load(Ordering::Relaxed) {
            return Err(self.unseen(error));
        }
        if self.goes_on_next_time(&error) {
            return Err(error);
        }
        match self.take_back().await {
            Ok(()) => Err(self.last_word(error)),
            Err(trouble) => {
                self.say(format!("{}: {error}", run_end_word(&error))).await;
                Err(trouble)
            }
        }
    }

    async fn deploy(&self) -> StepResult<ReleaseId> {
        if let Some(switched) = self.switched_by_an_earlier_attempt().await? {
            self.go_on()?;
            self.enter(Stage::Release, Some(&switched.commit)).await?;
            return self.bring_live(switched).await;
        }
        self.go_on()?;
        match &self.deployment.cause {
            Cause::Deploy { reference } => {
                let workspace = self.builder().prepare(&self.ctx).await?;
                let placed = self.build_and_place(&workspace, reference).await;
                self.clean(&workspace).await;
                self.bring_live(placed?).await
            }
            Cause::Rollback { release } => {
                let release = self.kept_release(*release).await?;
                self.enter(Stage::Release, Some(&release.commit)).await?;
                self.say(format!(
                    "going back to release {} ({})",
                    release.number,
                    release.commit.short()
                ))
                .await;
                self.bring_live(release).await
            }
        }
    }

    async fn build_and_place(
        &self,
        workspace: &Workspace,
        reference: &GitRef,
    ) -> StepResult<&Release> {
        self.enter(Stage::Checkout, None).await?;
        let source = self.source.as_ref().map_err(Fault::told_again)?;
        let provider = &self.engine.source;
        let found = provider.resolve(source, reference, &self.ctx).await?;
        let commit = provider
            .checkout(source, &found.id, &workspace.checkout, &self.ctx)
            .await?;
        self.say(format!(
            "checked out {} {}",
            commit.id.short(),
            commit.summary
        ))
        .await;

        self.enter(Stage::Build, Some(&commit.id)).await?;
        let recipe = self
            .builder()
            .detect(workspace, &self.project.settings)
            .await?;
        self.executor.accepts(&self.project.slug, &recipe)?;
        self.say(format!("building as {}", recipe.framework)).await;
        let spec = BuildSpec {
            project: self.project.id,
            workspace: workspace.clone(),
            recipe: recipe.clone(),
            env: self.env.clone(),
            timeout: self.project.settings.build_timeout_s.duration(),
        };
        let artifact = self.builder().build(&spec, &self.ctx).await?;
        self.say(format!(
            "built {} ({} KiB)",
            artifact.digest,
            artifact.bytes.div_ceil(1024)
        ))
        .await;

        self.enter(Stage::Release, None).await?;
        let id = ReleaseId::new(self.engine.clock.now(), &*self.engine.entropy);
        let new = NewRelease {
            id,
            target: self.project.settings.target.clone(),
            commit: commit.id,
            digest: artifact.digest.clone(),
            recipe,
            env: self
                .engine
                .seal_release_env(&self.project.tenant, id, &self.env)?,
        };
        let record = || {
            self.engine
                .store
                .record_release(&self.job.claim, self.deployment.id, new.clone())
        };
        let release = self.stored(record).await?;
        let release = self.release.get_or_init(|| release);
        self.place(release, &artifact).await?;
        Ok(release)
    }

    async fn place(&self, release: &Release, artifact: &Artifact) -> StepResult<()> {
        let spec = self.spec(release)?;
        self.say(format!(
            "placing release {} on {}",
            release.number,
            self.executor.name()
        ))
        .await;
        self.executor.prepare(&spec, artifact, &self.ctx).await
    }

    /// The release that an earlier attempt has switched to, but could not report before
    /// its process died. Whatever else it has left is removed.
    async fn switched_by_an_earlier_attempt(&self) -> StepResult<Option<&Release>> {
        if self.looked.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let id = match self.deployment.cause {
            Cause::Deploy { .. } => self.deployment.release,
            Cause::Rollback { release } => Some(release),
        };
        let left = match id {
            Some(id) => {
                Some(self.release(id).await?).filter(|left| left.state != ReleaseState::Gone)
            }
            None => None,
        };
        if let Some(left) = left {
            let slug = &self.project.slug;
            let current = retry::thrice(&self.job.lost, || self.executor.current(slug)).await?;
            if current == Some(left.number) {
                self.switched.store(true, Ordering::Relaxed);
                self.looked.store(true, Ordering::Relaxed);
                return Ok(Some(self.release.get_or_init(|| left)));
            }
            self.close_the_door().await?;
            self.remove(&left).await;
        }
        self.looked.store(true, Ordering::Relaxed);
        self.clean_after_earlier_attempts().await?;
        Ok(None)
    }

    /// A workspace is reclaimed by the next one; where nothing is begun any more there
    /// would be none.
    async fn clean_after_earlier_attempts(&self) -> StepResult<()> {
        let builds = matches!(self.deployment.cause, Cause::Deploy { .. });
        if builds && self.go_on().is_err() {
            let workspace = self.builder().prepare(&self.undisturbed()).await?;
            self.clean(&workspace).await;
        }
        Ok(())
    }

    async fn kept_release(&self, id: ReleaseId) -> StepResult<&Release> {
        let release = self.release(id).await?;
        if matches!(release.state, ReleaseState::Kept | ReleaseState::Live) {
            return Ok(self.release.get_or_init(|| release));
        }
        Err(StepError::verdict(
            VerdictCode::ReleaseGone,
            format!(
                "release {} is no longer on the target; deploy commit {} instead",
                release.number, release.commit
            ),
        ))
    }

    async fn release(&self, id: ReleaseId) -> StepResult<Release> {
        let tenant = &self.project.tenant;
        self.stored(|| self.engine.store.release_by_id(tenant, id))
            .await
    }

    async fn clean(&self, workspace: &Workspace) {
        let cleaned = retry::thrice(&self.job.lost, || self.builder().clean(workspace)).await;
        if let Err(error) = cleaned {
            self.say(format!("warning: the workspace was not removed: {error}"))
                .await;
        }
    }

    /// Whether this attempt may begin something.
    fn go_on(&self) -> StepResult<()> {
        if self.ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        match &self.given_up {
            Some(why) => Err(Fault::permanent("carrying it out", "the deployment", why).into()),
            None => Ok(()),
        }
    }

    /// Whether the next attempt shall find the target as it is: switched.
    fn goes_on_next_time(&self, error: &StepError) -> bool {
        let passes = matches!(error, StepError::Fault(fault) if fault.retryable);
        passes && self.switched.load(Ordering::Relaxed) && !self.is_last_try()
    }

    /// The last attempt of all tries nothing: see [`given_up`](Self::given_up).
    fn is_last_try(&self) -> bool {
        let (attempt, max) = self.attempts;
        attempt + 1 >= max
    }

    /// What the attempt ends with that could not find out what the one before has left:
    /// whatever the reason, the next one looks again, and the last one says what is open.
    fn unseen(&self, error: StepError) -> StepError {
        let (attempt, max) = self.attempts;
        match untold(error) {
            StepError::Fault(fault) if attempt >= max => StepError::Fault(Fault {
                reason: format!(
                    "{}; its release may be what the target `{}` serves now: deploy again, or \
                     roll back, once the target can be reached",
                    fault.reason, self.project.settings.target
                ),
                ..fault
            }),
            error => error,
        }
    }

    /// What the attempt ends with, now that all is as it was before.
    fn last_word(&self, error: StepError) -> StepError {
        match error {
            // Whatever failed: it was to be stopped, and it has.
            StepError::Fault(_) if self.job.stop_reason() == Some(StopReason::Cancel) => {
                StepError::Stopped
            }
            StepError::Fault(fault) => StepError::Fault(Fault {
                retryable: fault.retryable && !self.is_last_try(),
                ..fault
            }),
            other => other,
        }
    }

    pub(super) async fn enter(&self, stage: Stage, commit: Option<&CommitId>) -> StepResult<()> {
        if self.ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let enter = || {
            self.engine
                .store
                .enter_stage(&self.job.claim, self.deployment.id, stage, commit)
        };
        self.stored(enter).await?;
        self.ctx
            .log
            .write(LogStream::Stage, format!("{stage}\n").as_bytes())
            .await;
        self.engine
            .bus
            .publish(Hint::Deployment(self.deployment.id));
        Ok(())
    }

    fn builder(&self) -> &dyn Builder {
        &**self.engine.builder_for(&self.project.settings.target)
    }

    pub(super) async fn say(&self, text: String) {
        self.ctx.log.say(text).await;
    }

    pub(super) fn turn(&self) -> Turn {
        Turn::new(self.deployment.number, self.job.claim.fence.0)
    }

    pub(super) fn spec(&self, release: &Release) -> StepResult<ReleaseSpec> {
        self.engine.release_spec(release, &self.project.slug)
    }

    /// For what must be done although the deployment shall stop.
    pub(super) fn undisturbed(&self) -> StepContext {
        StepContext {
            cancel: self.job.lost.clone(),
            ..self.ctx.clone()
        }
    }

    /// Asks the store until it answers; a lost lease or a wish to cancel stops the run.
    pub(super) async fn stored<T, F>(&self, ask: impl Fn() -> F) -> StepResult<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        retry::until_stored(
            &self.job.lost,
            &self.engine.trouble,
            self.job.claim.job,
            ask,
        )
        .await
        .map_err(|error| match error {
            StoreError::LeaseLost { .. } => {
                self.job.stop(StopReason::Lost);
                StepError::Stopped
            }
            // A wish to cancel came in before its heartbeat did.
            StoreError::Illegal(_) => {
                self.job.stop(StopReason::Cancel);
                StepError::Stopped
            }
            other => step_fault(other),
        })
    }
}
