//! How a deployment is carried out, top to bottom.
//!
//! Every step may be cut off at any point by the death of the process; the next
//! attempt begins again with a folder and a release of its own, or, where the switch
//! had been made already, goes on behind it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret;

use crate::builder::{Artifact, BuildSpec, Workspace};
use crate::context::StepContext;
use crate::engine::{Engine, EngineError, Inner};
use crate::error::{Fault, StepError, StepResult, Verdict, VerdictCode};
use crate::executor::{Executor, ReleaseSpec};
use crate::ingress::Route;
use crate::job::{Done, JobContext, JobError, JobHandler, StopReason};
use crate::log::{LogSink, LogStream, LogTarget, Redactor};
use crate::model::{
    Cause, Deployment, DeploymentId, Failure, Job, Page, Project, Release, ReleaseId, ReleaseState,
    Stage,
};
use crate::retry;
use crate::source::{Credentials, Source};
use crate::store::{NewRelease, Outcome, StoreError};
use crate::value::{EnvSet, GitRef};

/// How long a release that no longer serves is given to end by itself.
const RETIRE_GRACE: Duration = Duration::from_secs(10);

/// One attempt at one deployment, and all that it needs.
struct Run<'a> {
    engine: &'a Inner,
    job: &'a JobContext,
    ctx: StepContext,
    deployment: Deployment,
    project: Project,
    executor: Arc<dyn Executor>,
    env: EnvSet,
    source: Source,
}

impl Run<'_> {
    /// The whole of it.
    async fn deploy(&self) -> StepResult<ReleaseId> {
        if let Some(switched) = self.switched_by_an_earlier_attempt().await? {
            self.enter(Stage::Release, Some(&switched.commit)).await?;
            return self.bring_live(&switched).await;
        }
        match &self.deployment.cause {
            Cause::Deploy { reference } => {
                let workspace = self.engine.builder.prepare(&self.ctx).await?;
                let placed = self.build_and_place(&workspace, reference).await;
                self.clean(&workspace).await;
                self.bring_live(&placed?).await
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
                self.bring_live(&release).await
            }
        }
    }

    async fn build_and_place(
        &self,
        workspace: &Workspace,
        reference: &GitRef,
    ) -> StepResult<Release> {
        self.enter(Stage::Checkout, None).await?;
        let provider = &self.engine.source;
        let found = provider.resolve(&self.source, reference, &self.ctx).await?;
        let commit = provider
            .checkout(&self.source, &found.id, &workspace.checkout, &self.ctx)
            .await?;
        self.say(format!(
            "checked out {} {}",
            commit.id.short(),
            commit.summary
        ))
        .await;

        self.enter(Stage::Build, Some(&commit.id)).await?;
        let recipe = self
            .engine
            .builder
            .detect(workspace, &self.project.settings)
            .await?;
        self.say(format!("building as {}", recipe.framework.0))
            .await;
        let spec = BuildSpec {
            project: self.project.id,
            workspace: workspace.clone(),
            recipe: recipe.clone(),
            env: self.env.clone(),
            timeout: Duration::from_secs(self.project.settings.build_timeout_s.into()),
        };
        let artifact = self.engine.builder.build(&spec, &self.ctx).await?;
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
        self.place(&release, &artifact).await?;
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
        let placed = self.executor.prepare(&spec, artifact, &self.ctx).await;
        if placed.is_err() {
            self.discard(release).await;
        }
        placed
    }

    /// Start, verify, switch, drain, retire. Until the switch, any failure takes the
    /// new release away again and leaves the old one as it was.
    async fn bring_live(&self, release: &Release) -> StepResult<ReleaseId> {
        let spec = self.spec(release)?;
        let before = self.live_release().await?;
        let start_and_verify = async {
            let endpoint = self.executor.start(&spec, &self.ctx).await?;
            self.enter(Stage::Verify, None).await?;
            self.executor.verify(&spec, &endpoint, &self.ctx).await?;
            self.enter(Stage::Activate, None).await?;
            self.executor
                .switch(&spec, self.deployment.number, &self.ctx)
                .await?;
            StepResult::Ok(endpoint)
        };
        let endpoint = match start_and_verify.await {
            Ok(endpoint) => endpoint,
            Err(error) => {
                self.take_back(release, before.as_ref()).await;
                return Err(error);
            }
        };
        if let Some(ingress) = &self.engine.ingress {
            let route = Route {
                slug: self.project.slug.clone(),
                release: release.number,
                endpoint,
                turn: self.deployment.number,
            };
            ingress.route(route).await?;
        }
        self.say(format!("release {} is live", release.number))
            .await;
        self.retire(release, before.as_ref()).await;
        Ok(release.id)
    }

    /// What follows the switch cannot undo it: errors are told, and nothing else.
    async fn retire(&self, live: &Release, before: Option<&Release>) {
        let slug = &self.project.slug;
        if let Some(ingress) = &self.engine.ingress {
            match ingress.drain(slug, live.recipe.health.drain()).await {
                Ok(0) => {}
                Ok(cut) => {
                    self.say(format!(
                        "warning: {cut} requests to the old release were cut off"
                    ))
                    .await
                }
                Err(error) => {
                    self.say(format!("warning: the old release was not drained: {error}"))
                        .await
                }
            }
        }
        if let Some(before) = before.filter(|before| before.id != live.id)
            && let Err(error) = self
                .executor
                .retire(slug, before.number, RETIRE_GRACE)
                .await
        {
            self.say(format!(
                "warning: release {} was not stopped: {error}",
                before.number
            ))
            .await;
        }
        if let Err(error) = self.prune(live, before).await {
            self.say(format!("warning: old releases were not removed: {error}"))
                .await;
        }
    }

    /// Keeps the live release, the one before it, and the newest others up to the
    /// project's number.
    async fn prune(&self, live: &Release, before: Option<&Release>) -> StepResult<()> {
        let (tenant, project) = (&self.project.tenant, self.project.id);
        let releases = self
            .engine
            .store
            .releases(tenant, project, Page::first(Page::<ReleaseId>::MAX))
            .await
            .map_err(store_fault)?;
        let mut keep = vec![live.number];
        keep.extend(
            before
                .map(|before| before.number)
                .filter(|&number| number != live.number),
        );
        for release in releases
            .iter()
            .filter(|release| release.state == ReleaseState::Kept)
        {
            if keep.len() >= self.project.settings.keep_releases.max(2) as usize {
                break;
            }
            if !keep.contains(&release.number) {
                keep.push(release.number);
            }
        }
        self.executor.prune(&self.project.slug, &keep).await?;
        let gone: Vec<i64> = releases
            .iter()
            .filter(|release| {
                release.state == ReleaseState::Kept && !keep.contains(&release.number)
            })
            .map(|release| release.number)
            .collect();
        if !gone.is_empty() {
            self.engine
                .store
                .mark_gone(tenant, project, &gone)
                .await
                .map_err(store_fault)?;
        }
        Ok(())
    }

    /// The release that an earlier attempt of this deployment has switched to, but
    /// could not report before its process died.
    async fn switched_by_an_earlier_attempt(&self) -> StepResult<Option<Release>> {
        let releases = self
            .engine
            .store
            .releases(&self.project.tenant, self.project.id, Page::first(20))
            .await
            .map_err(store_fault)?;
        let placed = releases.into_iter().find(|release| {
            release.deployment == self.deployment.id && release.state == ReleaseState::Placed
        });
        let Some(placed) = placed else {
            return Ok(None);
        };
        let current = self.executor.current(&self.project.slug).await?;
        Ok((current == Some(placed.number)).then_some(placed))
    }

    async fn kept_release(&self, id: ReleaseId) -> StepResult<Release> {
        let release = self
            .engine
            .store
            .release_by_id(&self.project.tenant, id)
            .await
            .map_err(store_fault)?;
        if matches!(release.state, ReleaseState::Kept | ReleaseState::Live) {
            return Ok(release);
        }
        Err(StepError::verdict(
            VerdictCode::ReleaseGone,
            format!(
                "release {} is no longer on the target; deploy commit {} instead",
                release.number, release.commit
            ),
        ))
    }

    async fn live_release(&self) -> StepResult<Option<Release>> {
        let releases = self
            .engine
            .store
            .releases(
                &self.project.tenant,
                self.project.id,
                Page::first(Page::<ReleaseId>::MAX),
            )
            .await
            .map_err(store_fault)?;
        Ok(releases
            .into_iter()
            .find(|release| release.state == ReleaseState::Live))
    }

    /// After a failure before the switch. A kept release stays on the target.
    async fn take_back(&self, release: &Release, live: Option<&Release>) {
        // Without the lease the target may be somebody else's by now.
        let lost = self.job.stop_reason() == Some(StopReason::Lost);
        if lost || live.is_some_and(|live| live.id == release.id) {
            return;
        }
        if release.deployment == self.deployment.id {
            self.discard(release).await;
        } else if let Err(error) = self
            .executor
            .retire(&self.project.slug, release.number, RETIRE_GRACE)
            .await
        {
            self.say(format!(
                "warning: release {} was not stopped: {error}",
                release.number
            ))
            .await;
        }
    }

    async fn discard(&self, release: &Release) {
        // Without the lease the target may be somebody else's by now.
        if self.job.stop_reason() == Some(StopReason::Lost) {
            return;
        }
        if let Err(error) = self
            .executor
            .discard(&self.project.slug, release.number)
            .await
        {
            self.say(format!(
                "warning: release {} was not removed: {error}",
                release.number
            ))
            .await;
        }
    }

    async fn clean(&self, workspace: &Workspace) {
        if let Err(error) = self.engine.builder.clean(workspace).await {
            self.say(format!("warning: the workspace was not removed: {error}"))
                .await;
        }
    }

    async fn enter(&self, stage: Stage, commit: Option<&crate::value::CommitId>) -> StepResult<()> {
        if self.ctx.cancel.is_cancelled() {
            return Err(StepError::Stopped);
        }
        let enter = || {
            self.engine
                .store
                .enter_stage(&self.job.claim, self.deployment.id, stage, commit)
        };
        let entered = self.stored(enter).await;
        if entered.is_ok() {
            self.ctx
                .log
                .write(LogStream::Stage, format!("{stage}\n").as_bytes())
                .await;
            self.engine
                .bus
                .publish(crate::bus::Hint::Deployment(self.deployment.id));
        }
        entered.map(drop)
    }

    async fn say(&self, text: String) {
        self.ctx.log.say(text).await;
    }

    fn spec(&self, release: &Release) -> StepResult<ReleaseSpec> {
        self.engine.release_spec(release, &self.project.slug)
    }

    /// Writes to the store until it takes it; a lost lease or a wish to cancel stops the run.
    async fn stored<T, F>(&self, write: impl Fn() -> F) -> StepResult<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        retry::until_stored(&self.job.lost, self.job.claim.job, write)
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
                other => store_fault(other),
            })
    }
}

fn store_fault(error: StoreError) -> StepError {
    let fault = if error.retryable() {
        Fault::retryable("a read or write", "the store", &error)
    } else {
        Fault::permanent("a read or write", "the store", &error)
    };
    StepError::Fault(fault.because(error))
}

/// The handler of jobs of kind `deploy`.
pub(crate) struct DeployHandler(pub(crate) std::sync::Weak<Inner>);

/// What a `deploy` or a `notify` job is told.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct DeploymentInput {
    pub(crate) tenant: crate::value::TenantId,
    pub(crate) deployment: DeploymentId,
}

#[async_trait]
impl JobHandler for DeployHandler {
    async fn run(&self, job: &Job, ctx: &JobContext) -> Result<Done, JobError> {
        let engine = self.0.upgrade().ok_or(JobError::Stopped)?;
        let input: DeploymentInput =
            serde_json::from_value(job.input.clone()).map_err(|error| {
                Fault::permanent("reading", format!("the input of job {}", job.id), error)
            })?;
        attempt(&engine, &input, ctx).await
    }
}

/// One attempt: gathers what the run needs, runs it, and records how it ended.
async fn attempt(
    engine: &Inner,
    input: &DeploymentInput,
    job: &JobContext,
) -> Result<Done, JobError> {
    let store = &engine.store;
    let deployment = store
        .deployment(&input.tenant, input.deployment)
        .await
        .map_err(job_fault)?;
    let project = store
        .project(&input.tenant, deployment.project)
        .await
        .map_err(job_fault)?;
    let executor = engine
        .executors
        .get(&project.settings.target)
        .cloned()
        .ok_or_else(|| {
            Fault::permanent(
                "deployment",
                &project.name,
                format!(
                    "this worker has no target called `{}`",
                    project.settings.target
                ),
            )
        })?;
    let env = engine.project_env(&project).await.map_err(engine_fault)?;
    let source = engine.source_of(&project).await?;
    let last = store
        .last_line(&input.tenant, input.deployment)
        .await
        .map_err(job_fault)?;

    let target = LogTarget {
        store: store.clone(),
        bus: engine.bus.clone(),
        clock: engine.clock.clone(),
        claim: job.claim,
        deployment: deployment.id,
        lost: job.lost.clone(),
    };
    let redactor = Arc::new(redactor(&env, &source));
    let sink = LogSink::start(
        target,
        last + 1,
        redactor.clone(),
        engine.log_limits.clone(),
    );
    let ctx = StepContext {
        deployment: deployment.id,
        attempt: job.claim.fence.0,
        cancel: job.stop.clone(),
        log: sink.writer(),
    };
    let id = deployment.id;
    let run = Run {
        engine,
        job,
        ctx,
        deployment,
        project,
        executor,
        env,
        source,
    };
    let ended = run
        .deploy()
        .await
        .map_err(|error| redacted(error, &redactor));
    if let Err(error) = &ended {
        run.say(format!("{}: {error}", run_end_word(error))).await;
    }
    drop(run);
    // The log is whole before the deployment is over.
    if let Err(error) = sink.close().await {
        tracing::warn!(deployment = %id, %error, "the end of a log was not written");
    }
    record(engine, job, id, ended).await
}

/// What is recorded of a failure is as free of secrets as the log: a message may quote
/// what a tool printed.
fn redacted(error: StepError, redactor: &Redactor) -> StepError {
    match error {
        StepError::Verdict(Verdict { code, message }) => {
            StepError::verdict(code, redactor.redact(&message))
        }
        StepError::Fault(fault) => StepError::Fault(Fault {
            subject: redactor.redact(&fault.subject).into_owned(),
            reason: redactor.redact(&fault.reason).into_owned(),
            ..fault
        }),
        StepError::Stopped => StepError::Stopped,
    }
}

fn run_end_word(error: &StepError) -> &'static str {
    match error {
        StepError::Verdict(_) => "failed",
        StepError::Fault(_) => "fault",
        StepError::Stopped => "stopped",
    }
}

async fn record(
    engine: &Inner,
    job: &JobContext,
    id: DeploymentId,
    ended: StepResult<ReleaseId>,
) -> Result<Done, JobError> {
    let outcome = match ended {
        Ok(release) => Outcome::Success { release },
        Err(StepError::Verdict(Verdict { code, message })) => Outcome::Failed(Failure::Verdict {
            code: code.to_string(),
            message,
        }),
        Err(StepError::Fault(fault)) => return Err(fault.into()),
        Err(StepError::Stopped) if job.stop_reason() == Some(StopReason::Cancel) => {
            Outcome::Cancelled
        }
        Err(StepError::Stopped) => return Err(JobError::Stopped),
    };
    let finish = || engine.store.finish(&job.claim, id, outcome.clone());
    match retry::until_stored(&job.lost, job.claim.job, finish).await {
        Ok(_) => {}
        // Somebody called it off between the last step and this line.
        Err(StoreError::Illegal(_)) => {
            let cancel = || engine.store.finish(&job.claim, id, Outcome::Cancelled);
            retry::until_stored(&job.lost, job.claim.job, cancel)
                .await
                .map_err(job_fault)?;
        }
        Err(error) => return Err(job_fault(error)),
    }
    engine.bus.publish(crate::bus::Hint::Deployment(id));
    engine.bus.publish(crate::bus::Hint::Jobs);
    Ok(Done::Recorded)
}

fn redactor(env: &EnvSet, source: &Source) -> Redactor {
    let mut secrets: Vec<&str> = env.iter().map(|(_, value)| value.expose()).collect();
    match &source.credentials {
        Some(Credentials::Password { password, .. }) => secrets.push(password.expose_secret()),
        Some(Credentials::SshKey { key }) => secrets.push(key.expose_secret()),
        None => {}
    }
    Redactor::new(secrets)
}

fn job_fault(error: StoreError) -> JobError {
    match error {
        StoreError::LeaseLost { .. } => JobError::Stopped,
        error if error.retryable() => Fault::retryable("a read or write", "the store", &error)
            .because(error)
            .into(),
        error => Fault::permanent("a read or write", "the store", &error)
            .because(error)
            .into(),
    }
}

fn engine_fault(error: EngineError) -> JobError {
    match error {
        EngineError::Store(error) => job_fault(error),
        other => Fault::permanent("preparation", "the deployment", &other)
            .because(other)
            .into(),
    }
}

impl Engine {
    /// What a deployment of `reference` would do, without doing any of it: fetches and
    /// reads the source, runs nothing, and changes nothing on the target.
    ///
    /// # Errors
    ///
    /// As for a deployment, before anything was written.
    pub async fn plan(
        &self,
        actor: &crate::model::Actor,
        project: crate::model::ProjectId,
        reference: Option<GitRef>,
    ) -> Result<crate::engine::Plan, EngineError> {
        let inner = self.inner();
        let project = inner.store.project(&actor.tenant, project).await?;
        let executor = inner.executor(&project.settings.target)?;
        let source = inner.source_of(&project).await?;
        let reference =
            reference.unwrap_or_else(|| GitRef::Branch(project.settings.branch.clone()));
        let ctx = StepContext {
            deployment: DeploymentId::new(inner.clock.now(), &*inner.entropy),
            attempt: 0,
            cancel: tokio_util::sync::CancellationToken::new(),
            log: crate::log::LogWriter::discard(),
        };
        let workspace = inner.builder.prepare(&ctx).await?;
        let read = async {
            let commit = inner.source.resolve(&source, &reference, &ctx).await?;
            let commit = inner
                .source
                .checkout(&source, &commit.id, &workspace.checkout, &ctx)
                .await?;
            let recipe = inner.builder.detect(&workspace, &project.settings).await?;
            StepResult::Ok((commit, recipe))
        };
        let read = read.await;
        inner.builder.clean(&workspace).await?;
        let (commit, recipe) = read?;
        let mut steps = inner.builder.plan(&recipe);
        steps.extend(executor.plan(&project.slug, &recipe));
        if let Some(url) = inner
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.url(&project.slug))
        {
            steps.push(crate::command::PlannedStep::new(format!(
                "send the requests for {url} to the new release"
            )));
        }
        Ok(crate::engine::Plan {
            commit: commit.id,
            zero_downtime: executor.capabilities().zero_downtime(),
            recipe,
            steps,
        })
    }
}
