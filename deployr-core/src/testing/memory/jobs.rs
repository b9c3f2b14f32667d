use std::cmp::Reverse;
use std::time::Duration;

use super::state::{JobRow, State, conflict, not_found};
use crate::model::{DeploymentId, Failure, Job, JobId, JobState, Limit};
use crate::state::{DeploymentEvent, JobEvent};
use crate::store::{NewJob, StoreResult};
use crate::system::later;
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
        let job = new.into_job(tenant.clone(), self.now);
        let id = job.id;
        self.jobs.insert(
            id,
            JobRow {
                job,
                deployment,
                rank: None,
                waits_for_room: false,
                ended: None,
            },
        );
        self.promote(id)?;
        Ok(self.jobs[&id].job.clone())
    }

    /// Queues a pending job where it is due and has room. Whether it did.
    pub(super) fn promote(&mut self, id: JobId) -> StoreResult<bool> {
        let row = &self.jobs[&id];
        if row.job.state != JobState::Pending || row.job.run_at > self.now {
            return Ok(false);
        }
        if !row.has_places() && !self.has_room(&row.job) {
            self.job_mut(id)?.waits_for_room = true;
            return Ok(false);
        }
        let row = &self.jobs[&id];
        let rank = row.rank.unwrap_or_else(|| self.next_rank(&row.job));
        let row = self.job_mut(id)?;
        row.rank = Some(rank);
        row.job.state = row.job.state.on(JobEvent::Promote)?;
        Ok(true)
    }

    fn has_room(&self, job: &Job) -> bool {
        let free = |limit: &Limit| {
            let others = self.jobs.values().filter(|row| {
                row.has_places() && row.job.limits.iter().any(|own| own.key == limit.key)
            });
            others.count() < limit.max.get() as usize
        };
        job.limits.iter().all(free)
    }

    fn next_rank(&self, job: &Job) -> u64 {
        let queued =
            |row: &&JobRow| row.job.state == JobState::Queued && row.job.priority == job.priority;
        let stands_there =
            |row: &&JobRow| (&row.job.kind, &row.job.needs) == (&job.kind, &job.needs);
        let all: Vec<_> = self.jobs.values().filter(queued).collect();
        let line: Vec<_> = all.iter().copied().filter(stands_there).collect();
        let first = |rows: &[&JobRow]| rows.iter().filter_map(|row| row.rank).min();
        let own = line.iter().filter(|row| row.job.tenant == job.tenant);
        let own = own.filter_map(|row| row.rank).max();
        let first = first(&line).or_else(|| first(&all));
        first.unwrap_or(1).max(own.unwrap_or_default() + 1)
    }

    /// Queues those for which there is room now.
    pub(super) fn promote_waiting(&mut self, limits: &[Limit]) -> StoreResult<()> {
        let shares = |job: &Job| {
            let mut keys = job.limits.iter().map(|limit| &limit.key);
            keys.any(|key| limits.iter().any(|limit| limit.key == *key))
        };
        let waiting = self.jobs.values().filter(|row| row.waits_for_room);
        let mut waiting: Vec<_> = waiting
            .map(|row| &row.job)
            .filter(|job| job.state == JobState::Pending && shares(job))
            .map(|job| (Reverse(job.priority), job.created_at, job.id))
            .collect();
        waiting.sort();
        for (_, _, id) in waiting {
            self.promote(id)?;
        }
        Ok(())
    }

    pub(super) fn job_mut(&mut self, id: JobId) -> StoreResult<&mut JobRow> {
        self.jobs.get_mut(&id).ok_or_else(|| not_found("job", &id))
    }

    /// Ends a job and gives up its places. The deployment is up to the caller.
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
        let (state, limits) = (job.state, job.limits.clone());
        self.promote_waiting(&limits)?;
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

    /// Takes a job from its worker: it is queued again, or pending until `wait` has passed.
    pub(super) fn requeue_job(
        &mut self,
        id: JobId,
        wait: Duration,
        error: Option<&str>,
    ) -> StoreResult<JobState> {
        let run_at = later(self.now, wait);
        let event = match wait {
            Duration::ZERO => JobEvent::Requeue,
            _ => JobEvent::Postpone,
        };
        let row = self.job_mut(id)?;
        let deployment = row.deployment;
        row.job.state = row.job.state.on(event)?;
        row.job.error = error.map(str::to_owned).or(row.job.error.take());
        row.job.due_at(run_at);
        row.job.worker = None;
        row.job.lease_until = None;
        let state = row.job.state;
        if let Some(deployment) = deployment {
            self.requeue_deployment(deployment)?;
        }
        Ok(state)
    }

    /// After a fault: tried again where that is wanted and attempts are left (at once
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
        waits && job.start_by <= self.now
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
