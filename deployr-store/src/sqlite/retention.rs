//! Removes what was kept for long enough.

use async_trait::async_trait;
use deployr_core::store::{Housekeeping, Pruned, Retention, StoreResult};
use deployr_core::system;
use uuid::Uuid;

use super::SqliteStore;
use super::query::{execute, many, scalar};
use super::writer::Tx;
use crate::error::DbResult;
use crate::retention::{DEPLOYMENTS, JOBS, first_id};

#[async_trait]
impl Housekeeping for SqliteStore {
    async fn prune(&self, keep: &Retention, limit: u32) -> StoreResult<Pruned> {
        let old = keep.clone();
        let lines = self.write("prune", move |tx| lines(tx, &old, limit.into()));
        // One sort that cannot be removed stops none of the others.
        let lines = lines.await;
        let jobs = self.prune_jobs(keep, limit).await;
        let old = keep.clone();
        let audit = self.write("prune", move |tx| audit(tx, &old, limit));
        let audit = audit.await;
        Ok(Pruned {
            lines: lines?,
            jobs: jobs?,
            audit: audit?,
        })
    }
}

impl SqliteStore {
    /// Goes through the old jobs until some could be removed; others write in between.
    async fn prune_jobs(&self, keep: &Retention, limit: u32) -> StoreResult<u64> {
        let mut next = Some(Uuid::nil());
        while let Some(after) = next {
            let keep = keep.clone();
            let some = self.write("prune", move |tx| jobs(tx, &keep, after, limit));
            let (removed, last) = some.await?;
            if removed > 0 {
                return Ok(removed);
            }
            next = last;
        }
        Ok(0)
    }
}

fn lines(tx: &Tx<'_>, keep: &Retention, limit: u64) -> DbResult<u64> {
    let before = system::earlier(tx.now, keep.logs);
    let sql = include_str!("sql/logs_to_prune.sql");
    let params = (
        first_id(before),
        before.timestamp_micros(),
        keep.newest_logs,
        DEPLOYMENTS,
    );
    let old: Vec<Uuid> = many(tx.db, sql, params, scalar)?;
    let mut removed = 0;
    for deployment in old {
        let sql = "DELETE FROM log_lines WHERE deployment = ?1 AND seq IN (
                       SELECT seq FROM log_lines WHERE deployment = ?1 ORDER BY seq DESC LIMIT ?2
                   )";
        let left = limit - removed;
        let lines = execute(
            tx.db,
            sql,
            (deployment, i64::try_from(left).unwrap_or(i64::MAX)),
        )?;
        removed += lines as u64;
        if removed >= limit {
            break;
        }
        let sql = "UPDATE deployments SET logged = 0 WHERE id = ?1";
        execute(tx.db, sql, [deployment])?;
    }
    Ok(removed)
}

/// Removes old jobs behind that key; how many, and where to go on where there may be more.
fn jobs(tx: &Tx<'_>, keep: &Retention, after: Uuid, limit: u32) -> DbResult<(u64, Option<Uuid>)> {
    let before = system::earlier(tx.now, keep.jobs);
    let sql = "SELECT id, coalesce(finished_at < ?3, 0)
                   AND NOT EXISTS (SELECT 1 FROM deployments WHERE job = old.id)
               FROM jobs AS old
               WHERE id > ?1 AND id < ?2
               ORDER BY id LIMIT ?4";
    let params = (after, first_id(before), before.timestamp_micros(), JOBS);
    let old: Vec<(Uuid, bool)> = many(tx.db, sql, params, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut removed = 0;
    for (id, _) in old.iter().filter(|(_, goes)| *goes).take(limit) {
        removed += execute(tx.db, "DELETE FROM jobs WHERE id = ?1", [id])? as u64;
    }
    let last = old.last().filter(|_| old.len() >= JOBS as usize);
    Ok((removed, last.map(|(id, _)| *id)))
}

fn audit(tx: &Tx<'_>, keep: &Retention, limit: u32) -> DbResult<u64> {
    let before = system::earlier(tx.now, keep.audit).timestamp_micros();
    // Entries are numbered in the order of their times: only the first are looked at.
    let sql = "DELETE FROM audit WHERE at < ?1
                   AND seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?2)";
    Ok(execute(tx.db, sql, (before, limit))? as u64)
}
