//! Live releases whose target was away when the engine started. They are tried again one
//! after the other of a project's jobs: the next is enqueued when the one before is over.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{EngineError, Inner};
use crate::bus::Hint;
use crate::model::{JobId, JobState, ProjectId};
use crate::routing::RouteInput;
use crate::store::{NewJob, StoreError};
use crate::system::{self, Timestamp};
use crate::value::{TargetName, TenantId};

/// Before the first try; twice as long before each further, up to the longest.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

/// Which they are. Known to this process only: another that starts finds them by itself.
#[derive(Debug, Default)]
pub(crate) struct Away(Mutex<BTreeMap<ProjectId, One>>);

#[derive(Debug)]
struct One {
    tenant: TenantId,
    target: TargetName,
    pause: Duration,
    next: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Try(Timestamp),
    WaitFor(JobId),
}

impl Away {
    /// Has it tried again in a while; changes nothing where that is so already.
    pub(crate) async fn note(
        &self,
        project: ProjectId,
        tenant: TenantId,
        target: TargetName,
        now: Timestamp,
    ) {
        self.0.lock().await.entry(project).or_insert(One {
            tenant,
            target,
            pause: FIRST,
            next: Step::Try(system::later(now, FIRST)),
        });
    }
}

impl Inner {
    /// Enqueues the tries that are due.
    pub(crate) async fn try_away(&self) -> Result<(), EngineError> {
        let mut away = self.away.0.lock().await;
        let projects: Vec<ProjectId> = away.keys().copied().collect();
        for project in projects {
            if let Some(one) = away.get_mut(&project)
                && self.step(project, one).await?
            {
                away.remove(&project);
            }
        }
        Ok(())
    }

    /// Goes on with one; tells whether it serves, or nobody asks for it any more.
    async fn step(&self, project: ProjectId, one: &mut One) -> Result<bool, EngineError> {
        let now = self.clock.now();
        match one.next {
            Step::Try(at) if at > now => {}
            Step::Try(_) => {
                let input = RouteInput {
                    tenant: one.tenant.clone(),
                    project,
                    bring_up: true,
                };
                let job = NewJob {
                    max_attempts: 1,
                    ..self.route_job(&input, &one.target)?
                };
                let id = job.id;
                self.store.enqueue(&one.tenant, job).await?;
                one.next = Step::WaitFor(id);
                self.bus.publish(Hint::Jobs);
            }
            Step::WaitFor(job) => match self.store.job(&one.tenant, job).await {
                Ok(job) if !job.state.is_final() => {}
                Ok(job) if job.state == JobState::Failed => {
                    one.pause = (one.pause * 2).min(LONGEST);
                    one.next = Step::Try(system::later(now, one.pause));
                }
                Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(true),
                Err(error) => return Err(error.into()),
            },
        }
        Ok(false)
    }
}
