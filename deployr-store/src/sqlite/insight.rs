//! What is in the queue, and why.

use async_trait::async_trait;
use deployr_core::model::{Job, JobId, JobState, Limit};
use deployr_core::store::{COUNTED, FullKey, Insight, KindStats, Standing, StoreResult};
use deployr_core::system;
use deployr_core::value::TenantId;
use rusqlite::Connection;
use uuid::Uuid;

use super::SqliteStore;
use super::query::{exists, many, one, scalar};
use super::rows;
use crate::error::{DbResult, not_found};
use crate::words::LEASE_EXPIRED;

#[async_trait]
impl Insight for SqliteStore {
    async fn queue_by_kind(&self) -> StoreResult<Vec<KindStats>> {
        self.read("queue_by_kind", |db| {
            let sql = include_str!("sql/queue_by_kind.sql");
            many(db, sql, [LEASE_EXPIRED], rows::kind_stats)
        })
        .await
    }

    async fn standing(&self, tenant: &TenantId, id: JobId) -> StoreResult<Standing> {
        let tenant = tenant.clone();
        let now = system::stored(self.0.clock.now());
        self.read("standing", move |db| {
            let sql = "SELECT * FROM job_rows WHERE id = ?1 AND tenant = ?2";
            let found = one(db, sql, (id.as_uuid(), tenant.as_str()), |row| {
                let (rank, lane) = (row.get(rows::RANK)?, row.get(rows::LANE)?);
                Ok((rows::job(row)?, rank, lane))
            })?;
            let (job, rank, lane): (Job, Option<i64>, i64) =
                found.ok_or_else(|| not_found("job", &id))?;
            let mut full = Vec::new();
            if job.state == JobState::Pending && rank.is_none() {
                for limit in &job.limits {
                    full.extend(full_key(db, &tenant, limit)?);
                }
            }
            let sql = "SELECT 1 FROM paused WHERE kind = ?1";
            let paused = exists(db, sql, [job.kind.as_str()])?;
            let before = match (job.state, rank) {
                (JobState::Queued, Some(rank)) => before(db, lane, &job, rank)?,
                _ => 0,
            };
            Ok(Standing {
                job,
                now,
                full,
                paused,
                before,
            })
        })
        .await
    }
}

fn full_key(db: &Connection, tenant: &TenantId, limit: &Limit) -> DbResult<Option<FullKey>> {
    let sql = "SELECT count(*) FROM job_keys WHERE holds = 1 AND key = ?1";
    let taken: u32 = one(db, sql, [limit.key.as_str()], scalar)?.unwrap_or_default();
    if taken < limit.max.get() {
        return Ok(None);
    }
    let sql = "SELECT jobs.id FROM job_keys JOIN jobs ON jobs.id = job_keys.job
               WHERE holds = 1 AND key = ?1 AND tenant = ?2 ORDER BY jobs.id LIMIT 10";
    let holders: Vec<Uuid> = many(db, sql, (limit.key.as_str(), tenant.as_str()), scalar)?;
    Ok(Some(FullKey {
        key: limit.key.clone(),
        max: limit.max,
        taken,
        holders: holders.into_iter().map(JobId::from_uuid).collect(),
    }))
}

fn before(db: &Connection, lane: i64, job: &Job, rank: i64) -> DbResult<u32> {
    let sql = "SELECT count(*) FROM (
                   SELECT 1 FROM jobs
                   WHERE state = 'queued' AND lane = ?1
                     AND (-priority, rank, id) < (-?2, ?3, ?4)
                   LIMIT ?5
               )";
    let params = (lane, job.priority, rank, job.id.as_uuid(), COUNTED);
    Ok(one(db, sql, params, scalar)?.unwrap_or_default())
}
