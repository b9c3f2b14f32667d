use std::time::Duration;

use super::state::{JobRow, State, conflict, not_found};
use crate::model::{DeploymentId, Failure, Fence, Job, JobId, JobState};
use crate::state::{DeploymentEvent, JobEvent};
use crate::store::{NewJob, StoreResult};
use crate::testing::clock::later;
use crate::value::TenantId;

impl State {
    pub(super) fn add_job(
        &mut self,
        tenant: &TenantId,
        new: NewJob,
        deployment: Option<DeploymentId>,
    ) -> StoreResult<Job> {
        if self.jobs.contains_key(&new.id) {
            return Err(conflict("job", &new.id, "is taken"));
        }
        let taken = new
            .concurrency_key
            .as_deref()
            .is_some_and(|key| self.key_taken(key));
        let job = Job {
            id: new.id,
            tenant: tenant.clone(),
            kind: new.kind,
            input: new.input,
            concurrency_key: new.concurrency_key,
            state: if taken {
                JobState::Pending
            } else {
                JobState::Queued
            },
            run_at: later(self.now, new.delay),
            attempt: 0,
            max_attempts: new.max_attempts.max(1),
            fence: Fence(0),
            worker: None,
            lease_until: None,
            start_by: later(self.now, new.start_within),
            cancel_requested: false,
            error: None,
            created_at: self.now,
            finished_at: None,
        };
        self.jobs.insert(
            job.id,
            JobRow {
                job: job.clone(),
                deployment,
                ended: None,
            },
        );
        Ok(job)
    }

    pub(super) fn key_taken(&self, key: &str) -> bool {
        self.jobs.values().any(|row| {
            row.job.concurrency_key.as_deref() == Some(key)
                && matches!(row.job.state, JobState::Queued | JobState::Running)
        })
    }

    /// Queues the oldest pending job of a key that is free. Whether there was one.
    pub(super) fn promote(&mut self, key: &str) -> StoreResult<bool> {
        if self.key_taken(key) {
            return Ok(false);
        }
        let pending = self.jobs.values_mut().filter(|row| {
            row.job.state == JobState::Pending && row.job.concurrency_key.as_deref() == Some(key)
        });
        let Some(row) = pending.min_by_key(|row| (row.job.created_at, row.job.id)) else {
            return Ok(false);
        };
        row.job.state = row.job.state.on(JobEvent::Promote)?;
        Ok(true)
    }

    pub(super) fn job_mut(&mut self, id: JobId) -> StoreResult<&mut JobRow> {
        self.jobs.get_mut(&id).ok_or_else(|| not_found("job", &id))
    }

    /// Ends a job and frees its key. The deployment is up to the caller.
    pub(super) fn end_job(
        &mut self,
        id: JobId,
        event: JobEvent,
        error: Option<&str>,
    ) -> StoreResult<JobState> {
        let now = self.now;
        let job = &mut self.job_mut(id)?.job;
        job.state = job.state.on(event)?;
        job.error = error.map(str::to_owned).or(job.error.take());
        job.worker = None;
        job.lease_until = None;
        job.finished_at = Some(now);
        let state = job.state;
        if let Some(key) = job.concurrency_key.clone() {
            self.promote(&key)?;
        }
        Ok(state)
    }

    pub(super) fn fail_job(&mut self, id: JobId, error: &str) -> StoreResult<JobState> {
        let state = self.end_job(id, JobEvent::Fail, Some(error))?;
        if let Some(deployment) = self.job_mut(id)?.deployment {
            let failure = Failure::Fault {
                message: error.to_owned(),
            };
            self.end_deployment(deployment, DeploymentEvent::Fail, Some(failure), "deployr")?;
        }
        Ok(state)
    }

    /// Ends a job whose deployment was asked to stop.
    pub(super) fn cancel_job(&mut self, id: JobId) -> StoreResult<JobState> {
        let state = self.end_job(id, JobEvent::Cancel, None)?;
        if let Some(deployment) = self.job_mut(id)?.deployment {
            let failure = Some(self.cancellation(deployment));
            self.end_deployment(deployment, DeploymentEvent::Cancel, failure, "deployr")?;
        }
        Ok(state)
    }

    pub(super) fn requeue_job(
        &mut self,
        id: JobId,
        wait: Duration,
        error: Option<&str>,
    ) -> StoreResult<JobState> {
        let run_at = later(self.now, wait);
        let row = self.job_mut(id)?;
        let deployment = row.deployment;
        row.job.state = row.job.state.on(JobEvent::Requeue)?;
        row.job.error = error.map(str::to_owned).or(row.job.error.take());
        row.job.run_at = run_at;
        row.job.worker = None;
        row.job.lease_until = None;
        if let Some(deployment) = deployment {
            self.requeue_deployment(deployment)?;
        }
        Ok(JobState::Queued)
    }

    /// After a fault: queued again where that is wanted and attempts are left (at once
    /// where it is to be cancelled), else cancelled where asked for, else failed.
    pub(super) fn after_fault(
        &mut self,
        id: JobId,
        error: &str,
        retry_after: Option<Duration>,
    ) -> StoreResult<JobState> {
        let job = &self.job_mut(id)?.job;
        let (left, cancel) = (job.attempt < job.max_attempts, job.cancel_requested);
        match retry_after {
            Some(_) if left && cancel => self.requeue_job(id, Duration::ZERO, Some(error)),
            Some(wait) if left => self.requeue_job(id, wait, Some(error)),
            _ if cancel => self.cancel_job(id),
            _ => self.fail_job(id, error),
        }
    }

    pub(super) fn missed_start(&self, job: &Job) -> bool {
        let waits = matches!(job.state, JobState::Pending | JobState::Queued);
        waits && job.fence == Fence(0) && job.start_by <= self.now
    }

    /// The jobs that meet a condition, those first that have been due for longest.
    pub(super) fn oldest(&self, limit: u32, wanted: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let jobs = self.jobs.values().map(|row| &row.job);
        let mut jobs: Vec<_> = jobs.filter(|job| wanted(job)).collect();
        jobs.sort_by_key(|job| (job.run_at, job.id));
        jobs.into_iter()
            .take(limit as usize)
            .map(|job| job.id)
            .collect()
    }
}
