//! Removes what was kept for long enough.

use async_trait::async_trait;
use deployr_core::store::{Housekeeping, Pruned, Retention, StoreResult};
use deployr_core::system;
use uuid::Uuid;

use super::SqliteStore;
use super::query::{execute, many, scalar};
use super::writer::Tx;
use crate::error::DbResult;
use crate::retention::{DEPLOYMENTS, first_id};

#[async_trait]
impl Housekeeping for SqliteStore {
    async fn prune(&self, keep: &Retention, limit: u32) -> StoreResult<Pruned> {
        let keep = keep.clone();
        self.write("prune", move |tx| {
            Ok(Pruned {
                lines: lines(tx, &keep, limit.into())?,
                jobs: jobs(tx, &keep, limit)?,
                audit: audit(tx, &keep, limit)?,
            })
        })
        .await
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

fn jobs(tx: &Tx<'_>, keep: &Retention, limit: u32) -> DbResult<u64> {
    let before = system::earlier(tx.now, keep.jobs);
    let sql = "DELETE FROM jobs WHERE id IN (
                   SELECT id FROM jobs AS old
                   WHERE id < ?1
                     AND finished_at < ?2
                     AND NOT EXISTS (SELECT 1 FROM deployments WHERE job = old.id)
                   ORDER BY id LIMIT ?3
               )";
    let params = (first_id(before), before.timestamp_micros(), limit);
    Ok(execute(tx.db, sql, params)? as u64)
}

fn audit(tx: &Tx<'_>, keep: &Retention, limit: u32) -> DbResult<u64> {
    let before = system::earlier(tx.now, keep.audit).timestamp_micros();
    // Entries are numbered in the order of their times: only the first are looked at.
    let sql = "DELETE FROM audit WHERE at < ?1
                   AND seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?2)";
    Ok(execute(tx.db, sql, (before, limit))? as u64)
}
