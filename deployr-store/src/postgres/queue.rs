//! The job queue, as its users call it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::model::{Claim, Job, JobId, JobState, WorkerId};
use deployr_core::store::{
    Beat, ClaimRequest, Exchange, JobFault, JobQueue, NewJob, QueueStats, StoreResult, Sweep,
};
use deployr_core::value::{JobKind, TenantId};
use sqlx::Row;
use uuid::Uuid;

use super::PgStore;
use super::enqueue;
use super::exchange::{self, Claims};
use super::jobs::{self, Standing};
use super::moves;
use super::places;
use super::query::{execute, many, one, text};
use super::rows::{self, columns};
use super::sweep;
use super::time::interval;
use crate::error::{lost, not_found};
use crate::words::EndedBy;

#[async_trait]
impl JobQueue for PgStore {
    async fn enqueue_all(&self, tenant: &TenantId, new: Vec<NewJob>) -> StoreResult<Vec<Job>> {
        enqueue::enqueue_all(&self.pool, tenant, new).await
    }

    async fn job(&self, tenant: &TenantId, id: JobId) -> StoreResult<Job> {
        self.call("job", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(jobs),
                    " FROM jobs WHERE id = $1 AND tenant = $2"
                );
                let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
                one(db.get(), statement, rows::job)
                    .await?
                    .ok_or_else(|| not_found("job", &id))
            })
        })
        .await
    }

    async fn exchange(&self, done: &[Claim], next: Option<ClaimRequest>) -> StoreResult<Exchange> {
        exchange::exchange(&self.pool, done, next.as_ref()).await
    }

    async fn held(&self, worker: WorkerId) -> StoreResult<Vec<Job>> {
        self.call("held", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(jobs),
                    " FROM jobs WHERE state = 'running' AND worker = $1 ORDER BY id"
                );
                let statement = sqlx::query(sql).bind(worker.as_uuid());
                let jobs = many(db.get(), statement, |row| Ok(rows::job(row))).await?;
                Ok(jobs.into_iter().filter_map(crate::rows::readable).collect())
            })
        })
        .await
    }

    /// With a connection of its own, which is made when it is first needed.
    fn apart(&self) -> Option<Arc<dyn JobQueue>> {
        let server = self.pool.connect_options().as_ref().clone();
        let one = self
            .pool
            .options()
            .clone()
            .min_connections(0)
            .max_connections(1);
        Some(Arc::new(Self {
            pool: one.connect_lazy_with(server),
            schema: Arc::clone(&self.schema),
        }))
    }

    async fn heartbeat(&self, claims: &[Claim], term: Duration) -> StoreResult<Vec<Beat>> {
        let parts = &Claims::of(claims);
        let held: HashMap<(Uuid, i64, Uuid), bool> = self
            .call("heartbeat", |db| {
                Box::pin(async move {
                    let statement = sqlx::query(include_str!("sql/heartbeat.sql"))
                        .bind(&parts.jobs)
                        .bind(&parts.fences)
                        .bind(&parts.workers)
                        .bind(interval(term));
                    let held = many(db.get(), statement, |row| {
                        Ok((exchange::key_of(row)?, row.try_get("cancel_requested")?))
                    });
                    Ok(held.await?.into_iter().collect())
                })
            })
            .await?;
        let beat = |claim: &Claim| match held.get(&exchange::key(claim)) {
            Some(cancel) => Beat::Held { cancel: *cancel },
            None => Beat::Lost,
        };
        Ok(claims.iter().map(beat).collect())
    }

    async fn fail(&self, claim: &Claim, fault: JobFault) -> StoreResult<JobState> {
        let error = &*text(&fault.error);
        let retry_after = fault.retry_after;
        self.write("fail", |tx| {
            Box::pin(async move {
                places::lock_of(tx, &[claim.job.as_uuid()], &[]).await?;
                let by = EndedBy::Fail;
                match jobs::standing(tx, claim, by).await? {
                    Standing::Held(mut job) => {
                        moves::after_fault(tx, &mut job, error, retry_after, Some(by)).await
                    }
                    Standing::GivenUp(job) => Ok(job.state),
                    Standing::Lost => Err(lost(claim.job)),
                }
            })
        })
        .await
    }

    async fn release(&self, claim: &Claim) -> StoreResult<()> {
        self.write("release", |tx| {
            Box::pin(async move {
                places::lock_of(tx, &[claim.job.as_uuid()], &[]).await?;
                let by = EndedBy::Release;
                let mut job = match jobs::standing(tx, claim, by).await? {
                    Standing::Held(job) => job,
                    Standing::GivenUp(_) => return Ok(()),
                    Standing::Lost => return Err(lost(claim.job)),
                };
                job.attempt = job.attempt.saturating_sub(1);
                moves::requeue(tx, &mut job, None, Some(by)).await
            })
        })
        .await
    }

    async fn sweep(
        &self,
        term: Option<Duration>,
        retry_after: Duration,
        limit: u32,
    ) -> StoreResult<Sweep> {
        sweep::sweep(self, term, retry_after, limit).await
    }

    async fn pause(&self, kind: &JobKind, paused: bool) -> StoreResult<()> {
        self.call("pause", |db| {
            Box::pin(async move {
                let sql = match paused {
                    true => "INSERT INTO paused (kind) VALUES ($1) ON CONFLICT DO NOTHING",
                    false => "DELETE FROM paused WHERE kind = $1",
                };
                let statement = sqlx::query(sql).bind(kind.as_str());
                execute(db.get(), statement).await.map(drop)
            })
        })
        .await
    }

    async fn paused(&self) -> StoreResult<Vec<JobKind>> {
        self.call("paused", |db| {
            Box::pin(async move {
                let statement = sqlx::query("SELECT kind FROM paused ORDER BY kind");
                many(db.get(), statement, rows::kind).await
            })
        })
        .await
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        self.call("queue_stats", |db| {
            Box::pin(async move {
                // The states are spelt out for the partial indexes.
                let sql = "SELECT (SELECT count(*) FROM jobs WHERE state = 'pending'),
                                  (SELECT count(*) FROM jobs WHERE state = 'queued'),
                                  (SELECT count(*) FROM jobs WHERE state = 'running')";
                let row = sqlx::query(sql).fetch_one(db.get()).await?;
                let count = |column: usize| row.try_get(column).map(i64::unsigned_abs);
                Ok(QueueStats {
                    pending: count(0)?,
                    queued: count(1)?,
                    running: count(2)?,
                })
            })
        })
        .await
    }
}
