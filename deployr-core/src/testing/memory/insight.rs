use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use super::state::{JobRow, LEASE_EXPIRED, not_found};
use crate::model::{JobId, JobState, WorkerId};
use crate::store::{
    COUNTED, FORGOTTEN, FullKey, Insight, KindStats, Standing, StoreResult, WorkerReport,
    WorkerSeen, Workers,
};
use crate::system::{later, stored};
use crate::value::TenantId;

#[async_trait]
impl Workers for MemoryStore {
    async fn report_worker(&self, report: WorkerReport) -> StoreResult<()> {
        self.write(|state| {
            let now = stored(state.now);
            let workers = &mut state.workers;
            workers.retain(|_, (_, _, seen)| later(*seen, FORGOTTEN) > now);
            let since = workers.get(&report.id).map_or(now, |(_, since, _)| *since);
            workers.insert(report.id, (report, since, now));
            Ok(())
        })
    }

    async fn remove_worker(&self, id: WorkerId) -> StoreResult<()> {
        self.write(|state| {
            state.workers.remove(&id);
            Ok(())
        })
    }

    async fn workers(&self) -> StoreResult<Vec<WorkerSeen>> {
        let now = stored(self.clock.now());
        self.read(|state| {
            let seen = state.workers.values().cloned();
            let seen = seen.map(|(report, since, at)| WorkerSeen::new(report, since, at, now));
            Ok(seen.collect())
        })
    }
}

#[async_trait]
impl Insight for MemoryStore {
    async fn queue_by_kind(&self) -> StoreResult<Vec<KindStats>> {
        self.read(|state| {
            let mut kinds = BTreeMap::new();
            let open = state.jobs.values().filter(|row| !row.job.state.is_final());
            for JobRow { job, .. } in open {
                let stats = kinds.entry(job.kind.clone()).or_insert_with(|| KindStats {
                    kind: job.kind.clone(),
                    pending: 0,
                    queued: 0,
                    running: 0,
                    rescued: 0,
                    oldest: None,
                });
                match job.state {
                    JobState::Pending => stats.pending += 1,
                    JobState::Queued => {
                        stats.queued += 1;
                        let oldest = stats.oldest.unwrap_or(job.run_at);
                        stats.oldest = Some(oldest.min(job.run_at));
                    }
                    _ => stats.running += 1,
                }
                stats.rescued += u64::from(job.error.as_deref() == Some(LEASE_EXPIRED));
            }
            Ok(kinds.into_values().collect())
        })
    }

    async fn standing(&self, tenant: &TenantId, id: JobId) -> StoreResult<Standing> {
        let now = stored(self.clock.now());
        self.read(|state| {
            let row = state.jobs.get(&id).filter(|row| row.job.tenant == *tenant);
            let row = row.ok_or_else(|| not_found("job", &id))?;
            let job = &row.job;
            let mut full = Vec::new();
            for limit in &job.limits {
                let has = |other: &&JobRow| {
                    other.has_places() && other.job.limits.iter().any(|one| one.key == limit.key)
                };
                let holders: Vec<_> = state.jobs.values().filter(has).collect();
                let waits = job.state == JobState::Pending && !row.has_places();
                if waits && holders.len() >= limit.max.get() as usize {
                    let own = holders.iter().filter(|one| one.job.tenant == *tenant);
                    let mut own: Vec<_> = own.map(|one| one.job.id).collect();
                    own.sort();
                    own.truncate(10);
                    full.push(FullKey {
                        key: limit.key.clone(),
                        max: limit.max,
                        taken: u32::try_from(holders.len()).unwrap_or(u32::MAX),
                        holders: own,
                    });
                }
            }
            let place = |row: &JobRow| {
                let job = &row.job;
                (std::cmp::Reverse(job.priority), row.rank, job.id)
            };
            let before = |other: &&JobRow| {
                job.state == JobState::Queued
                    && other.job.state == JobState::Queued
                    && (&other.job.kind, &other.job.needs) == (&job.kind, &job.needs)
                    && place(other) < place(row)
            };
            let before = state.jobs.values().filter(before);
            Ok(Standing {
                job: job.clone(),
                now,
                full,
                paused: state.paused.contains(&job.kind),
                before: before.take(COUNTED as usize).count() as u32,
            })
        })
    }
}
