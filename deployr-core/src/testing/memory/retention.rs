use async_trait::async_trait;

use super::MemoryStore;
use crate::store::{Housekeeping, Pruned, Retention, StoreResult};
use crate::system::{Timestamp, earlier};

#[async_trait]
impl Housekeeping for MemoryStore {
    async fn prune(&self, keep: &Retention, limit: u32) -> StoreResult<Pruned> {
        self.write(|state| {
            let limit = limit as usize;
            let mut pruned = Pruned::default();
            let old =
                |at: Option<Timestamp>, kept| at.is_some_and(|at| at < earlier(state.now, kept));

            for (id, row) in &state.deployments {
                let owner = &row.deployment;
                let of_project = state.deployments.values().map(|row| &row.deployment);
                let newer = of_project
                    .filter(|other| other.project == owner.project && other.number > owner.number);
                if !old(owner.finished_at, keep.logs) || newer.count() < keep.newest_logs as usize {
                    continue;
                }
                let Some(log) = state.logs.get_mut(id) else {
                    continue;
                };
                // The n-th line has number n, so the last go first.
                let lines = log.len().min(limit - pruned.lines as usize);
                let left = log.len() - lines;
                std::sync::Arc::make_mut(log).truncate(left);
                pruned.lines += lines as u64;
            }

            let over = state
                .jobs
                .iter()
                .filter(|(_, row)| row.deployment.is_none() && old(row.job.finished_at, keep.jobs));
            let over: Vec<_> = over.map(|(id, _)| *id).take(limit).collect();
            for id in &over {
                state.jobs.remove(id);
            }
            pruned.jobs = over.len() as u64;

            let past = state
                .audit
                .iter()
                .filter(|entry| old(Some(entry.at), keep.audit));
            let past = past.take(limit).count();
            state.audit.drain(..past);
            pruned.audit = past as u64;
            Ok(pruned)
        })
    }
}
