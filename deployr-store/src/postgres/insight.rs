//! What is in the queue, and why.

use async_trait::async_trait;
use deployr_core::model::{Job, JobId, JobState, Limit};
use deployr_core::store::{COUNTED, FullKey, Insight, KindStats, Standing, StoreResult};
use deployr_core::value::TenantId;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::PgStore;
use super::query::{many, one, scalar};
use super::rows::{self, columns};
use super::time::Time;
use crate::error::{DbResult, not_found};
use crate::words::LEASE_EXPIRED;

/// What [`Standing`] is made of, in one row.
struct Found {
    job: Job,
    rank: Option<i64>,
    lane: i32,
    now: Time,
    paused: bool,
}

#[async_trait]
impl Insight for PgStore {
    async fn queue_by_kind(&self) -> StoreResult<Vec<KindStats>> {
        self.call("queue_by_kind", |db| {
            Box::pin(async move {
                let sql = include_str!("sql/queue_by_kind.sql");
                many(
                    db.get(),
                    sqlx::query(sql).bind(LEASE_EXPIRED),
                    rows::kind_stats,
                )
                .await
            })
        })
        .await
    }

    async fn standing(&self, tenant: &TenantId, id: JobId) -> StoreResult<Standing> {
        self.call("standing", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(jobs),
                    ", rank, lane, now() AS present,
                     EXISTS (SELECT 1 FROM paused WHERE paused.kind = jobs.kind) AS paused
                     FROM jobs WHERE id = $1 AND tenant = $2"
                );
                let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
                let found = one(db.get(), statement, |row| {
                    Ok(Found {
                        job: rows::job(row)?,
                        rank: row.try_get("rank")?,
                        lane: row.try_get("lane")?,
                        now: row.try_get("present")?,
                        paused: row.try_get("paused")?,
                    })
                });
                let found = found.await?.ok_or_else(|| not_found("job", &id))?;
                let mut full = Vec::new();
                if found.job.state == JobState::Pending && found.rank.is_none() {
                    for limit in &found.job.limits {
                        full.extend(full_key(db.get(), tenant, limit).await?);
                    }
                }
                let before = match (found.job.state, found.rank) {
                    (JobState::Queued, Some(rank)) => {
                        before(db.get(), found.lane, &found.job, rank).await?
                    }
                    _ => 0,
                };
                Ok(Standing {
                    job: found.job,
                    now: found.now.0,
                    full,
                    paused: found.paused,
                    before,
                })
            })
        })
        .await
    }
}

async fn full_key(
    db: &mut PgConnection,
    tenant: &TenantId,
    limit: &Limit,
) -> DbResult<Option<FullKey>> {
    let sql = "SELECT count(*) FROM job_keys WHERE holds AND key = $1";
    let statement = sqlx::query(sql).bind(limit.key.as_str());
    let taken: i64 = one(db, statement, scalar).await?.unwrap_or_default();
    let taken = u32::try_from(taken).unwrap_or(u32::MAX);
    if taken < limit.max.get() {
        return Ok(None);
    }
    let sql = "SELECT jobs.id FROM job_keys JOIN jobs ON jobs.id = job_keys.job
               WHERE holds AND key = $1 AND tenant = $2 ORDER BY jobs.id LIMIT 10";
    let statement = sqlx::query(sql)
        .bind(limit.key.as_str())
        .bind(tenant.as_str());
    let holders: Vec<Uuid> = many(db, statement, scalar).await?;
    Ok(Some(FullKey {
        key: limit.key.clone(),
        max: limit.max,
        taken,
        holders: holders.into_iter().map(JobId::from_uuid).collect(),
    }))
}

async fn before(db: &mut PgConnection, lane: i32, job: &Job, rank: i64) -> DbResult<u32> {
    let sql = "SELECT count(*) FROM (
                   SELECT 1 FROM jobs
                   WHERE state = 'queued' AND lane = $1
                     AND (-priority, rank, id) < (-($2::smallint), $3, $4)
                   LIMIT $5
               ) AS before";
    let statement = sqlx::query(sql)
        .bind(lane)
        .bind(job.priority)
        .bind(rank)
        .bind(job.id.as_uuid())
        .bind(i64::from(COUNTED));
    let before: i64 = one(db, statement, scalar).await?.unwrap_or_default();
    Ok(u32::try_from(before).unwrap_or(COUNTED))
}
