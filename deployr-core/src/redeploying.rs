//! Deploying a project by its timetable: the handler of jobs of kind `redeploy`.

use std::sync::Weak;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::engine::{DeployRequest, Engine, EngineError, Inner};
use crate::error::Fault;
use crate::job::{Done, JobContext, JobError, JobHandler};
use crate::model::{Actor, DeploymentId, Job, JobTemplate, ProjectId, Schedule};
use crate::store::StoreError;
use crate::value::{InvalidValue, JobKind, ScheduleName};

const KIND: &str = "redeploy";

pub(crate) struct RedeployHandler(pub(crate) Weak<Inner>);

#[derive(Debug, Serialize, Deserialize)]
struct RedeployInput {
    project: ProjectId,
    /// In whose name it is deployed.
    schedule: ScheduleName,
}

/// The job that deploys what the project's branch points at when it comes.
pub(crate) fn template(
    project: ProjectId,
    schedule: &ScheduleName,
) -> Result<JobTemplate, InvalidValue> {
    let input = RedeployInput {
        project,
        schedule: schedule.clone(),
    };
    Ok(JobTemplate::new(
        JobKind::parse(KIND)?,
        serde_json::json!(input),
    ))
}

/// The project that a schedule deploys; none where it brings other jobs.
pub(crate) fn project_of(schedule: &Schedule) -> Option<ProjectId> {
    if schedule.job.kind.as_str() != KIND {
        return None;
    }
    let input = RedeployInput::deserialize(&schedule.job.input).ok()?;
    Some(input.project)
}

/// Whether a schedule deploys that project.
pub(crate) fn is_of(schedule: &Schedule, project: ProjectId) -> bool {
    project_of(schedule) == Some(project)
}

#[async_trait]
impl JobHandler for RedeployHandler {
    async fn run(&self, job: &Job, _: &JobContext) -> Result<Done, JobError> {
        let engine = Engine::over(self.0.upgrade().ok_or(JobError::Stopped)?);
        let input = RedeployInput::deserialize(&job.input).map_err(|error| {
            Fault::permanent("reading", format!("the input of job {}", job.id), error)
        })?;
        let actor = Actor::new(job.tenant.clone(), format!("schedule {}", input.schedule));
        // The same for each attempt, so that one which follows on a crash asks for no other.
        let id = DeploymentId::from_uuid(job.id.as_uuid());
        let asked = engine.deploy_as(&actor, input.project, id, DeployRequest::latest());
        match asked.await {
            Ok(_) => Ok(Done::Completed),
            Err(EngineError::Store(StoreError::Conflict {
                what: "deployment", ..
            })) => Ok(Done::Completed),
            // It went while the schedule was being made.
            Err(EngineError::Store(StoreError::NotFound { .. })) => {
                match engine.unschedule(&job.tenant, &input.schedule).await {
                    Ok(()) | Err(EngineError::Store(StoreError::NotFound { .. })) => {
                        Ok(Done::Completed)
                    }
                    Err(error) => {
                        Err(Fault::retryable("unscheduling", &input.schedule, error).into())
                    }
                }
            }
            Err(EngineError::Store(error)) if error.retryable() => {
                Err(Fault::retryable("redeployment", input.project, error).into())
            }
            Err(error) => Err(Fault::permanent("redeployment", input.project, error).into()),
        }
    }
}
