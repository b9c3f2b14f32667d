//! Removes what was kept for long enough.

use async_trait::async_trait;
use deployr_core::store::{Housekeeping, Pruned, Retention, StoreResult};
use deployr_core::system;
use sqlx::Row;
use uuid::Uuid;

use super::PgStore;
use super::calls::Tx;
use super::query::{execute, many, one, scalar};
use super::time::Time;
use crate::error::DbResult;
use crate::retention::{DEPLOYMENTS, JOBS, first_id};

#[async_trait]
impl Housekeeping for PgStore {
    async fn prune(&self, keep: &Retention, limit: u32) -> StoreResult<Pruned> {
        // Each sort in transactions of its own: none keeps the rows of another locked, and one
        // that cannot be removed stops none of the others.
        let lines = self.write("prune", |tx| Box::pin(lines(tx, keep, limit.into())));
        let lines = lines.await;
        let jobs = self.prune_jobs(keep, limit).await;
        let audit = self.write("prune", |tx| Box::pin(audit(tx, keep, limit)));
        let audit = audit.await;
        Ok(Pruned {
            lines: lines?,
            jobs: jobs?,
            audit: audit?,
        })
    }
}

impl PgStore {
    /// Goes through the old jobs until some could be removed.
    async fn prune_jobs(&self, keep: &Retention, limit: u32) -> StoreResult<u64> {
        let mut next = Some(Uuid::nil());
        while let Some(after) = next {
            let some = self.write("prune", |tx| Box::pin(jobs(tx, keep, after, limit)));
            let (removed, last) = some.await?;
            if removed > 0 {
                return Ok(removed);
            }
            next = last;
        }
        Ok(0)
    }
}

async fn lines(tx: &mut Tx<'_>, keep: &Retention, limit: u64) -> DbResult<u64> {
    let before = system::earlier(tx.now, keep.logs);
    let statement = sqlx::query(include_str!("sql/logs_to_prune.sql"))
        .bind(first_id(before))
        .bind(Time(before))
        .bind(i64::from(keep.newest_logs))
        .bind(i64::from(DEPLOYMENTS));
    let old: Vec<Uuid> = many(tx.db(), statement, scalar).await?;
    let mut removed = 0;
    for deployment in old {
        let sql = "DELETE FROM log_lines WHERE deployment = $1 AND seq IN (
                       SELECT seq FROM log_lines WHERE deployment = $1 ORDER BY seq DESC LIMIT $2
                   )";
        let left = i64::try_from(limit - removed).unwrap_or(i64::MAX);
        let statement = sqlx::query(sql).bind(deployment).bind(left);
        removed += execute(tx.db(), statement).await?;
        if removed >= limit {
            break;
        }
        let sql = "UPDATE deployments SET logged = false WHERE id = $1";
        execute(tx.db(), sqlx::query(sql).bind(deployment)).await?;
    }
    Ok(removed)
}

/// Removes old jobs behind that key; how many, and where to go on where there may be more.
async fn jobs(
    tx: &mut Tx<'_>,
    keep: &Retention,
    after: Uuid,
    limit: u32,
) -> DbResult<(u64, Option<Uuid>)> {
    let before = system::earlier(tx.now, keep.jobs);
    let statement = sqlx::query(include_str!("sql/prune_jobs.sql"))
        .bind(after)
        .bind(first_id(before))
        .bind(Time(before))
        .bind(i64::from(JOBS))
        .bind(i64::from(limit));
    let removed = one(tx.db(), statement, |row| {
        let removed: i64 = row.try_get(0)?;
        Ok((removed.unsigned_abs(), row.try_get(1)?))
    });
    Ok(removed.await?.unwrap_or_default())
}

async fn audit(tx: &mut Tx<'_>, keep: &Retention, limit: u32) -> DbResult<u64> {
    // Entries are numbered in the order of their times: only the first are looked at.
    let sql = "DELETE FROM audit WHERE at < $1
                   AND seq = ANY(ARRAY(SELECT seq FROM audit ORDER BY seq LIMIT $2))";
    let statement = sqlx::query(sql)
        .bind(Time(system::earlier(tx.now, keep.audit)))
        .bind(i64::from(limit));
    execute(tx.db(), statement).await
}
