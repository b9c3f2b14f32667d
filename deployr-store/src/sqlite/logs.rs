//! The logs of deployments.

use async_trait::async_trait;
use deployr_core::log::LogLine;
use deployr_core::model::{Claim, DeploymentId};
use deployr_core::store::{Logs, NewLine, StoreError, StoreResult};
use deployr_core::value::TenantId;
use rusqlite::Connection;

use super::SqliteStore;
use super::deployments::must_be_there;
use super::error::DbResult;
use super::jobs;
use super::query::{execute, many, one, scalar};
use super::rows;

/// The most lines that are read at once.
const MAX_LINES: u32 = 10_000;

#[async_trait]
impl Logs for SqliteStore {
    async fn append_log(
        &self,
        claim: &Claim,
        id: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        let claim = *claim;
        self.write("append_log", move |tx| {
            jobs::held_for(tx.db, &claim, id)?;
            let mut next = last(tx.db, id)? + 1;
            if first > next {
                return Err(StoreError::LogGap {
                    deployment: id,
                    expected: next,
                }
                .into());
            }
            for (number, line) in (first..).zip(&lines) {
                if number < next {
                    continue; // It is there: the call is made again.
                }
                execute(
                    tx.db,
                    "INSERT INTO log_lines (deployment, seq, at, stream, text)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    (
                        id.as_uuid(),
                        number,
                        line.at.timestamp_micros(),
                        line.stream.as_number(),
                        &line.text,
                    ),
                )?;
                next = number + 1;
            }
            Ok(next)
        })
        .await
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<LogLine>> {
        let tenant = tenant.clone();
        self.read("read_log", move |db| {
            must_be_there(db, &tenant, id)?;
            many(
                db,
                "SELECT * FROM log_lines WHERE deployment = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
                (id.as_uuid(), after, limit.min(MAX_LINES)),
                rows::log_line,
            )
        })
        .await
    }

    async fn last_line(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<i64> {
        let tenant = tenant.clone();
        self.read("last_line", move |db| {
            must_be_there(db, &tenant, id)?;
            last(db, id)
        })
        .await
    }
}

fn last(db: &Connection, id: DeploymentId) -> DbResult<i64> {
    let sql = "SELECT max(seq) FROM log_lines WHERE deployment = ?1";
    let last: Option<i64> = one(db, sql, [id.as_uuid()], scalar)?.flatten();
    Ok(last.unwrap_or(0))
}
