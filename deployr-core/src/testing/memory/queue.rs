use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use super::state::{BEGUN_TIMEOUT, End, JobRow, LEASE_EXPIRED, QUEUE_TIMEOUT, State, not_found};
use crate::model::{Claim, Fence, Job, JobId, JobState, Lease, WorkerId};
use crate::state::{IllegalTransition, JobEvent};
use crate::store::{
    Beat, ClaimRequest, Exchange, JobFault, JobQueue, NewJob, QueueStats, StoreResult, Sweep, Watch,
};
use crate::system::later;
use crate::value::{JobKind, TenantId};

#[async_trait]
impl JobQueue for MemoryStore {
    async fn enqueue_all(&self, tenant: &TenantId, new: Vec<NewJob>) -> StoreResult<Vec<Job>> {
        self.write(|state| {
            new.into_iter()
                .map(|new| state.add_job(tenant, new, None))
                .collect()
        })
    }

    async fn job(&self, tenant: &TenantId, id: JobId) -> StoreResult<Job> {
        self.read(|state| {
            let row = state.jobs.get(&id).filter(|row| row.job.tenant == *tenant);
            row.map(|row| row.job.clone())
                .ok_or_else(|| not_found("job", &id))
        })
    }

    async fn exchange(&self, done: &[Claim], next: Option<ClaimRequest>) -> StoreResult<Exchange> {
        self.write(|state| {
            let completed = done.iter().map(|claim| state.complete(claim)).collect();
            let leases = next.map_or(Ok(Vec::new()), |request| state.claim(&request))?;
            Ok(Exchange { completed, leases })
        })
    }

    async fn held(&self, worker: WorkerId) -> StoreResult<Vec<Job>> {
        self.read(|state| {
            let jobs = state.jobs.values().map(|row| &row.job);
            let held = jobs.filter(|job| job.worker == Some(worker));
            Ok(held.cloned().collect())
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
            if state.ended(claim) == Some(&End::Released) {
                return Ok(());
            }
            state.held(claim)?;
            state.job_mut(claim.job)?.job.attempt -= 1;
            state.requeue_job(claim.job, Duration::ZERO, None)?;
            state.note_end(claim, End::Released);
            Ok(())
        })
    }

    async fn sweep(
        &self,
        term: Option<Duration>,
        retry_after: Duration,
        limit: u32,
    ) -> StoreResult<Sweep> {
        self.write(|state| {
            let mut sweep = Sweep::default();
            let (now, grace) = (state.now, term.map(Watch::grace));
            let past = |wait| move |until| later(until, wait) < now;
            let ran_out = |job: &Job| {
                let past = |until| grace.is_none_or(|grace| past(grace)(until));
                job.lease_until.is_some_and(past)
            };
            let mut expired = state.oldest(limit, ran_out);
            if let Some(term) = term {
                let running = state.jobs.values().map(|row| &row.job);
                let running: Vec<_> = running.filter(|job| job.lease_until.is_some()).collect();
                let ran_out = running.iter().filter(|job| ran_out(job)).count();
                let stale = past(Watch::stale(term));
                let stale = |job: &&&Job| job.lease_until.is_some_and(stale);
                let stale = running.iter().filter(stale).count();
                let (all, lately) = ((running.len() - stale) as u64, (ran_out - stale) as u64);
                if !running.is_empty() && !state.watch.may_end(now, term, all, lately) {
                    expired.clear();
                    sweep.held_back = ran_out as u32;
                }
                state.watch.note_ended(now, term, expired.len() as u64);
            }
            for id in expired {
                let now = state.after_fault(id, LEASE_EXPIRED, Some(retry_after))?;
                sweep.rescued.push((id, now));
            }
            sweep.timed_out = state.oldest(limit, |job| state.missed_start(job));
            for id in &sweep.timed_out {
                let why = match state.jobs[id].job.fence {
                    Fence(0) => QUEUE_TIMEOUT,
                    _ => BEGUN_TIMEOUT,
                };
                state.after_fault(*id, why, None)?;
            }
            let mut pending: Vec<_> = state.jobs.values().map(|row| &row.job).collect();
            pending.retain(|job| job.state == JobState::Pending);
            pending.sort_by_key(|job| (Reverse(job.priority), job.created_at, job.id));
            let pending: Vec<_> = pending.into_iter().map(|job| job.id).collect();
            for id in pending {
                sweep.promoted += u32::from(state.promote(id)?);
            }
            Ok(sweep)
        })
    }

    async fn pause(&self, kind: &JobKind, paused: bool) -> StoreResult<()> {
        self.write(|state| {
            match paused {
                true => state.paused.insert(kind.clone()),
                false => state.paused.remove(kind),
            };
            Ok(())
        })
    }

    async fn paused(&self) -> StoreResult<Vec<JobKind>> {
        self.read(|state| Ok(state.paused.iter().cloned().collect()))
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

impl State {
    fn claim(&mut self, request: &ClaimRequest) -> StoreResult<Vec<Lease>> {
        let fits = |row: &&JobRow| {
            let job = &row.job;
            job.state == JobState::Queued
                && request.kinds.contains(&job.kind)
                && !self.paused.contains(&job.kind)
                && job.needs.is_subset(&request.offers)
                && !self.missed_start(job)
        };
        let mut next: Vec<_> = self.jobs.values().filter(fits).collect();
        next.sort_by_key(|row| (Reverse(row.job.priority), row.rank, row.job.id));
        next.truncate(request.limit as usize);
        let next: Vec<_> = next.into_iter().map(|row| row.job.id).collect();
        let until = later(self.now, request.term);
        let take = |id: JobId| {
            let job = &mut self.job_mut(id)?.job;
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
        next.into_iter().map(take).collect()
    }

    fn complete(&mut self, claim: &Claim) -> StoreResult<()> {
        if self.ended(claim) == Some(&End::Completed) {
            return Ok(());
        }
        if let Some(id) = self.held(claim)?.deployment {
            // A deployment ends by `finish`, which says how.
            return Err(IllegalTransition {
                machine: "deployment",
                from: self.deployments[&id].deployment.status.as_str(),
                event: "complete",
            }
            .into());
        }
        self.end_job(claim.job, JobEvent::Complete, None)?;
        self.note_end(claim, End::Completed);
        Ok(())
    }
}
