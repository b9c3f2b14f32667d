//! What only grows: logs, releases, the audit log.

use std::sync::Arc;

use async_trait::async_trait;

use super::MemoryStore;
use super::state::{ReleaseRow, conflict, newest_first};
use crate::log::LogLine;
use crate::model::{
    AuditEntry, Claim, DeploymentId, Page, ProjectId, Release, ReleaseId, ReleaseState,
};
use crate::store::{
    Audit, LOG_READ_BYTES, LiveRelease, Logs, NewLine, NewRelease, Releases, StoreError,
    StoreResult,
};
use crate::value::TenantId;

const MAX_LINES: u32 = 10_000;

#[async_trait]
impl Logs for MemoryStore {
    async fn append_log(
        &self,
        claim: &Claim,
        id: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        // Not by a copy of everything: all checks come before the only write.
        let mut state = self.lock();
        state.held_deployment(claim, id)?;
        let log = Arc::make_mut(state.logs.entry(id).or_default());
        let expected = log.len() as i64 + 1;
        if first > expected {
            return Err(StoreError::LogGap {
                deployment: id,
                expected,
            });
        }
        let numbered = (first..).zip(lines).filter(|(seq, _)| *seq >= expected);
        log.extend(numbered.map(|(seq, line)| LogLine {
            seq,
            at: line.at,
            stream: line.stream,
            text: line.text,
        }));
        Ok(log.len() as i64 + 1)
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<LogLine>> {
        self.read(|state| {
            state.deployment(tenant, id)?;
            let log = state.logs.get(&id).map_or(&[][..], |log| log);
            // The n-th line has number n.
            let read = usize::try_from(after.max(0)).unwrap_or(usize::MAX);
            let lines = log.get(read..).unwrap_or_default().iter();
            let mut bytes = 0;
            let room = |line: &&LogLine| {
                let room = bytes < LOG_READ_BYTES;
                bytes += line.text.len();
                room
            };
            let lines = lines.take(limit.min(MAX_LINES) as usize).take_while(room);
            Ok(lines.cloned().collect())
        })
    }

    async fn last_line(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<i64> {
        self.read(|state| {
            state.deployment(tenant, id)?;
            Ok(state.logs.get(&id).map_or(0, |log| log.len() as i64))
        })
    }
}

#[async_trait]
impl Releases for MemoryStore {
    async fn record_release(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        new: NewRelease,
    ) -> StoreResult<Release> {
        self.write(|state| {
            let owner = state.held_deployment(claim, deployment)?.deployment.clone();
            if let Some(row) = state.releases.get(&new.id) {
                if row.release.deployment == deployment {
                    return Ok(row.release.clone());
                }
                return Err(conflict("release", &new.id, "is taken"));
            }
            state.forget_placed(deployment);
            let of_project = state
                .releases
                .values()
                .filter(|row| row.release.project == owner.project);
            let last = of_project.map(|row| row.release.number).max().unwrap_or(0);
            let release = Release {
                id: new.id,
                tenant: owner.tenant,
                project: owner.project,
                deployment,
                number: last + 1,
                target: new.target,
                commit: new.commit,
                digest: new.digest,
                recipe: new.recipe,
                env: new.env,
                state: ReleaseState::Placed,
                live_turn: None,
                created_at: state.now,
            };
            state.releases.insert(
                new.id,
                ReleaseRow {
                    release: release.clone(),
                },
            );
            if let Some(row) = state.deployments.get_mut(&deployment) {
                row.deployment.release = Some(new.id);
            }
            Ok(release)
        })
    }

    async fn release_by_id(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<Release> {
        self.read(|state| Ok(state.release(tenant, id)?.release.clone()))
    }

    async fn releases(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> StoreResult<Vec<Release>> {
        self.read(|state| {
            state.project(tenant, project)?;
            let rows = state
                .releases
                .values()
                .filter(|row| row.release.project == project);
            Ok(newest_first(
                rows,
                page,
                |row| row.release.id,
                |row| row.release.clone(),
            ))
        })
    }

    async fn live_releases(&self, page: Page<ReleaseId>) -> StoreResult<Vec<LiveRelease>> {
        self.read(|state| {
            let rows = state
                .releases
                .values()
                .filter(|row| row.release.state == ReleaseState::Live)
                .filter(|row| state.projects[&row.release.project].removal.is_none());
            let give = |row: &ReleaseRow| LiveRelease {
                release: row.release.clone(),
                slug: state.projects[&row.release.project].slug.clone(),
            };
            Ok(newest_first(rows, page, |row| row.release.id, give))
        })
    }

    async fn releases_on_target(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<Release>> {
        self.read(|state| {
            state.project(tenant, project)?;
            let rows = state.releases.values().rev().map(|row| &row.release);
            let there = |release: &&Release| {
                release.project == project && release.state != ReleaseState::Gone
            };
            Ok(rows.filter(there).cloned().collect())
        })
    }

    async fn mark_gone(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        numbers: &[i64],
    ) -> StoreResult<()> {
        self.write(|state| {
            let project = state.held_deployment(claim, deployment)?.deployment.project;
            for ReleaseRow { release, .. } in state.releases.values_mut() {
                let named = release.project == project && numbers.contains(&release.number);
                if named && release.state != ReleaseState::Live {
                    release.state = ReleaseState::Gone;
                }
            }
            Ok(())
        })
    }
}

#[async_trait]
impl Audit for MemoryStore {
    async fn audit(&self, tenant: &TenantId, page: Page<i64>) -> StoreResult<Vec<AuditEntry>> {
        self.read(|state| {
            let rows = state.audit.iter().filter(|entry| entry.tenant == *tenant);
            Ok(newest_first(
                rows,
                page,
                |entry| entry.seq,
                AuditEntry::clone,
            ))
        })
    }
}
