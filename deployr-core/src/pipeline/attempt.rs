//! One attempt at one deployment: gathers what the run needs, runs it, and records how
//! it ended.

use std::sync::Arc;

use super::run::Run;
use super::{DeploymentInput, job_fault, store_fault};
use crate::bus::Hint;
use crate::context::StepContext;
use crate::engine::{Inner, REMOVED, redacted};
use crate::error::{Fault, StepError, StepResult, Verdict};
use crate::job::{Done, JobContext, JobError, StopReason};
use crate::log::{LogSink, LogTarget};
use crate::model::{
    Actor, Cause, DeploymentId, DeploymentStatus, Failure, Job, Project, ReleaseId,
};
use crate::retry;
use crate::source::Source;
use crate::store::{Outcome, StoreError};

pub(super) async fn attempt(
    engine: &Inner,
    input: &DeploymentInput,
    job: &Job,
    held: &JobContext,
) -> Result<Done, JobError> {
    let (store, tenant) = (&engine.store, &input.tenant);
    let found = || store.deployment(tenant, input.deployment);
    let found = retry::until_stored(&held.lost, &engine.trouble, job.id, found).await;
    let deployment = match found {
        // Its project was forgotten since.
        Err(StoreError::NotFound { .. }) => return Ok(Done::Completed),
        found => found.map_err(job_fault)?,
    };
    let project = stored(engine, held, || store.project(tenant, deployment.project)).await?;
    if project.removal.is_some() && !deployment.status.is_final() {
        // Whoever asked for that may have died before it called this off.
        let actor = Actor::new(tenant.clone(), "deployr");
        let cancel = || store.request_cancel(&actor, deployment.id, REMOVED);
        stored(engine, held, cancel).await?;
        held.stop(StopReason::Cancel);
    }
    let executor = engine.executors.get(&project.settings.target).cloned();
    let executor = executor.ok_or_else(|| {
        let target = &project.settings.target;
        let reason = format!("this worker has no target called `{target}`");
        Fault::permanent("deployment", &project.name, reason)
    })?;
    let env = stored(engine, held, || store.env(tenant, project.id)).await?;
    let env = engine.open_env(&project, env).map_err(|error| Fault {
        // What an earlier attempt has left on the target is looked at first.
        retryable: held.claim.fence.0 > 1,
        ..Fault::permanent("preparation", "the deployment", &error).because(error)
    })?;
    let source = match deployment.cause {
        Cause::Deploy { .. } => engine.source_of(&project).await,
        Cause::Rollback { .. } => Ok(unread(&project)),
    };
    let there = stored(engine, held, || {
        store.releases_on_target(tenant, project.id)
    })
    .await?;
    let last = stored(engine, held, || store.last_line(tenant, input.deployment)).await?;

    let target = LogTarget {
        store: store.clone(),
        bus: engine.bus.clone(),
        clock: engine.clock.clone(),
        claim: held.claim,
        deployment: deployment.id,
        lost: held.lost.clone(),
        trouble: engine.trouble.clone(),
    };
    let redactor = Arc::new(engine.redactor(&project, &env, source.as_ref().ok(), &there));
    let sink = LogSink::start(
        target,
        last + 1,
        redactor.clone(),
        engine.log_limits.clone(),
    );
    let ctx = StepContext {
        deployment: deployment.id,
        attempt: held.claim.fence.0,
        cancel: held.stop.clone(),
        handed_over: held.handed_over.clone(),
        log: sink.writer(),
    };
    if deployment.status == DeploymentStatus::Cancelling {
        held.stop(StopReason::Cancel);
    }
    let id = deployment.id;
    let run = Run {
        engine,
        job: held,
        attempts: (job.attempt, job.max_attempts),
        given_up: given_up(job),
        ctx,
        deployment,
        project,
        executor,
        env,
        source,
        release: Default::default(),
        switched: Default::default(),
        looked: (held.claim.fence.0 <= 1).into(),
    };
    if let Some(again) = begun_again(job, held) {
        run.say(again).await;
    }
    let ended = run.carry_out().await;
    let ended = ended.map_err(|error| redacted(error, &redactor));
    if let Err(error) = &ended {
        run.say(format!("{}: {error}", run_end_word(error))).await;
    }
    drop(run);
    // The log is whole before the deployment is over.
    let ended = match sink.close().await {
        Err(error) if !matches!(error, StoreError::LeaseLost { .. }) => {
            tracing::warn!(deployment = %id, %error, "the end of a log was not written");
            match ended {
                Ok(_) | Err(StepError::Verdict(_)) => {
                    Err(Fault::retryable("writing the log", id, error).into())
                }
                other => other,
            }
        }
        _ => ended,
    };
    record(engine, held, id, ended).await
}

/// The source of what is built already: nobody is asked for credentials.
fn unread(project: &Project) -> Source {
    let settings = &project.settings;
    Source {
        url: settings.source.clone(),
        credentials: None,
        submodules: settings.submodules,
    }
}

/// The last attempt of a job begins nothing: it puts in order what the one before it,
/// which was lost, has left.
fn given_up(job: &Job) -> Option<String> {
    let why = job.error.as_deref().unwrap_or("it was lost");
    let times = job.attempt.saturating_sub(1);
    (job.attempt > 1 && job.attempt >= job.max_attempts)
        .then(|| format!("it was tried {times} times; the last time: {why}"))
}

/// For those who read the log: why it tells the same twice.
fn begun_again(job: &Job, held: &JobContext) -> Option<String> {
    let why = match &job.error {
        Some(error) => error.as_str(),
        None => "the worker before was shut down",
    };
    (held.claim.fence.0 > 1).then(|| {
        let (attempt, max) = (job.attempt, job.max_attempts);
        format!("begun again, attempt {attempt} of {max}: {why}")
    })
}

pub(super) fn run_end_word(error: &StepError) -> &'static str {
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
    match retry::until_stored(&job.lost, &engine.trouble, job.claim.job, finish).await {
        Ok(_) => {}
        // Somebody called it off between the last step and this line.
        Err(StoreError::Illegal(_)) => {
            let cancel = || engine.store.finish(&job.claim, id, Outcome::Cancelled);
            retry::until_stored(&job.lost, &engine.trouble, job.claim.job, cancel)
                .await
                .map_err(job_fault)?;
        }
        Err(StoreError::LeaseLost { .. }) => return Err(JobError::Stopped),
        // What is live cannot be given up for what the store cannot do: the next attempt
        // finds it so, and tries to record it again.
        Err(error) => {
            return Err(Fault {
                retryable: true,
                ..store_fault(error)
            }
            .into());
        }
    }
    engine.bus.publish(Hint::Deployment(id));
    engine.bus.publish(Hint::Jobs);
    Ok(Done::Recorded)
}

/// Asks the store until it answers: that it is away for a while costs no attempt.
async fn stored<T, F>(engine: &Inner, job: &JobContext, ask: impl Fn() -> F) -> Result<T, JobError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let answer = retry::until_stored(&job.lost, &engine.trouble, job.claim.job, ask).await;
    answer.map_err(job_fault)
}
