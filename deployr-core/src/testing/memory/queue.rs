use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use super::state::{End, JobRow, State, conflict, not_found};
use crate::model::{Claim, DeploymentId, Failure, Fence, Job, JobId, JobState, Lease};
use crate::state::{DeploymentEvent, IllegalTransition, JobEvent};
use crate::store::{
    Beat, ClaimRequest, JobFault, JobQueue, NewJob, QueueStats, StoreResult, Sweep,
};
use crate::testing::clock::later;
use crate::value::TenantId;

const LEASE_EXPIRED: &str = "lease expired: the worker was lost";
const QUEUE_TIMEOUT: &str = "queue time-out: no worker took the job in time";

impl State {
    pub(super) fn add_job(
        &mut self,
        tenant: &TenantId,
        new: NewJob,
        deployment: Option<DeploymentId>,
    ) -> StoreResult<Job> {
        if self.jobs.contains_key(&new.id) {
            return Err(conflict("job", new.id, "is taken"));
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

    fn key_taken(&self, key: &str) -> bool {
        self.jobs.values().any(|row| {
            row.job.concurrency_key.as_deref() == Some(key)
                && matches!(row.job.state, JobState::Queued | JobState::Running)
        })
    }

    /// Queues the oldest pending job of a key that is free. Whether there was one.
    fn promote(&mut self, key: &str) -> StoreResult<bool> {
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

    fn job_mut(&mut self, id: JobId) -> StoreResult<&mut JobRow> {
        self.jobs.get_mut(&id).ok_or_else(|| not_found("job", id))
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

    fn fail_job(&mut self, id: JobId, error: &str) -> StoreResult<JobState> {
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
    fn cancel_job(&mut self, id: JobId) -> StoreResult<JobState> {
        let state = self.end_job(id, JobEvent::Cancel, None)?;
        if let Some(deployment) = self.job_mut(id)?.deployment {
            let failure = Some(self.cancellation(deployment));
            self.end_deployment(deployment, DeploymentEvent::Cancel, failure, "deployr")?;
        }
        Ok(state)
    }

    fn requeue_job(
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

    /// After a fault: cancelled where asked for, else queued again, else failed.
    fn after_fault(
        &mut self,
        id: JobId,
        error: &str,
        retry_after: Option<Duration>,
    ) -> StoreResult<JobState> {
        let job = &self.job_mut(id)?.job;
        let left = job.attempt < job.max_attempts;
        match retry_after {
            _ if job.cancel_requested => self.cancel_job(id),
            Some(wait) if left => self.requeue_job(id, wait, Some(error)),
            _ => self.fail_job(id, error),
        }
    }

    fn missed_start(&self, job: &Job) -> bool {
        let waits = matches!(job.state, JobState::Pending | JobState::Queued);
        waits && job.fence == Fence(0) && job.start_by <= self.now
    }

    /// The jobs that meet a condition, those first that have been due for longest.
    fn oldest(&self, limit: u32, wanted: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let jobs = self.jobs.values().map(|row| &row.job);
        let mut jobs: Vec<_> = jobs.filter(|job| wanted(job)).collect();
        jobs.sort_by_key(|job| (job.run_at, job.id));
        jobs.into_iter()
            .take(limit as usize)
            .map(|job| job.id)
            .collect()
    }
}

#[async_trait]
impl JobQueue for MemoryStore {
    async fn enqueue(&self, tenant: &TenantId, new: NewJob) -> StoreResult<Job> {
        self.write(|state| state.add_job(tenant, new, None))
    }

    async fn job(&self, tenant: &TenantId, id: JobId) -> StoreResult<Job> {
        self.read(|state| {
            let row = state.jobs.get(&id).filter(|row| row.job.tenant == *tenant);
            row.map(|row| row.job.clone())
                .ok_or_else(|| not_found("job", id))
        })
    }

    async fn claim(&self, request: ClaimRequest) -> StoreResult<Vec<Lease>> {
        self.write(|state| {
            let due = state.oldest(request.limit, |job| {
                job.state == JobState::Queued
                    && job.run_at <= state.now
                    && request.kinds.contains(&job.kind)
                    && !state.missed_start(job)
            });
            let until = later(state.now, request.term);
            let take = |id: JobId| {
                let job = &mut state.job_mut(id)?.job;
                job.state = job.state.on(JobEvent::Claim)?;
                job.fence.0 += 1;
                job.attempt += 1;
                job.worker = Some(request.worker);
                job.lease_until = Some(until);
                let claim = Claim {
                    job: id,
                    fence: job.fence,
                    worker: request.worker,
                };
                Ok(Lease {
                    job: job.clone(),
                    claim,
                    term: request.term,
                })
            };
            due.into_iter().map(take).collect()
        })
    }

    async fn heartbeat(&self, claims: &[Claim], term: Duration) -> StoreResult<Vec<Beat>> {
        self.write(|state| {
            let until = later(state.now, term);
            let beat = |claim: &Claim| match state.held(claim) {
                Ok(_) => {
                    let job = &mut state.job_mut(claim.job)?.job;
                    job.lease_until = Some(until);
                    Ok(Beat::Held {
                        cancel: job.cancel_requested,
                    })
                }
                Err(_) => Ok(Beat::Lost),
            };
            claims.iter().map(beat).collect()
        })
    }

    async fn complete(&self, claim: &Claim) -> StoreResult<()> {
        self.write(|state| {
            if state.ended(claim) == Some(&End::Completed) {
                return Ok(());
            }
            if let Some(id) = state.held(claim)?.deployment {
                // A deployment ends by `finish`, which says how.
                let from = state.deployments[&id].deployment.status.as_str();
                let event = "complete";
                return Err(IllegalTransition {
                    machine: "deployment",
                    from,
                    event,
                }
                .into());
            }
            state.end_job(claim.job, JobEvent::Complete, None)?;
            state.note_end(claim, End::Completed);
            Ok(())
        })
    }

    async fn fail(&self, claim: &Claim, fault: JobFault) -> StoreResult<JobState> {
        self.write(|state| {
            if let Some(End::Failed(answer)) = state.ended(claim) {
                return Ok(*answer);
            }
            state.held(claim)?;
            let answer = state.after_fault(claim.job, &fault.error, fault.retry_after)?;
            state.note_end(claim, End::Failed(answer));
            Ok(answer)
        })
    }

    async fn release(&self, claim: &Claim) -> StoreResult<()> {
        self.write(|state| {
            if state.held(claim)?.job.cancel_requested {
                return state.cancel_job(claim.job).map(drop);
            }
            state.job_mut(claim.job)?.job.attempt -= 1;
            state.requeue_job(claim.job, Duration::ZERO, None).map(drop)
        })
    }

    async fn sweep(
        &self,
        grace: Duration,
        retry_after: Duration,
        limit: u32,
    ) -> StoreResult<Sweep> {
        self.write(|state| {
            let mut sweep = Sweep::default();
            let expired = state.oldest(limit, |job| {
                job.lease_until
                    .is_some_and(|until| later(until, grace) < state.now)
            });
            for id in expired {
                let now = state.after_fault(id, LEASE_EXPIRED, Some(retry_after))?;
                sweep.rescued.push((id, now));
            }
            sweep.timed_out = state.oldest(limit, |job| state.missed_start(job));
            for id in &sweep.timed_out {
                state.fail_job(*id, QUEUE_TIMEOUT)?;
            }
            // Whatever frees a key promotes the next at once; this finds nothing.
            for id in state.oldest(limit, |job| job.state == JobState::Pending) {
                if let Some(key) = state.job_mut(id)?.job.concurrency_key.clone() {
                    sweep.promoted += u32::from(state.promote(&key)?);
                }
            }
            Ok(sweep)
        })
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        self.read(|state| {
            let count = |wanted| {
                state
                    .jobs
                    .values()
                    .filter(|row| row.job.state == wanted)
                    .count() as u64
            };
            Ok(QueueStats {
                pending: count(JobState::Pending),
                queued: count(JobState::Queued),
                running: count(JobState::Running),
            })
        })
    }
}
