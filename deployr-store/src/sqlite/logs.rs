//! The logs of deployments.

use std::sync::LazyLock;

use async_trait::async_trait;
use deployr_core::log::LogLine;
use deployr_core::model::{Claim, DeploymentId};
use deployr_core::store::{LOG_READ_BYTES, Logs, NewLine, StoreError, StoreResult};
use deployr_core::value::TenantId;
use rusqlite::Connection;

use super::SqliteStore;
use super::deployments::must_be_there;
use super::jobs;
use super::query::{one, scalar};
use super::rows;
use crate::error::DbResult;

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
            let next = last(tx.db, id)? + 1;
            if first > next {
                return Err(StoreError::LogGap {
                    deployment: id,
                    expected: next,
                }
                .into());
            }
            // Those that are there already are left out: the call is made again.
            let known = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            let new = lines.get(known..).unwrap_or_default();
            append(tx.db, id, next, new)?;
            Ok(next + new.len() as i64)
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
            let mut statement = db.prepare_cached(
                "SELECT seq, at, stream, text FROM log_lines
                 WHERE deployment = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let mut found = statement.query((id.as_uuid(), after, limit.min(MAX_LINES)))?;
            let (mut lines, mut bytes) = (Vec::new(), 0);
            while bytes < LOG_READ_BYTES
                && let Some(row) = found.next()?
            {
                let line = rows::log_line(row)?;
                bytes += line.text.len();
                lines.push(line);
            }
            Ok(lines)
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

/// How many rows one statement inserts. A row costs a third less than on its own.
const ROWS: usize = 64;

static INSERT_ROWS: LazyLock<String> = LazyLock::new(|| insert_sql(ROWS));
static INSERT_ROW: LazyLock<String> = LazyLock::new(|| insert_sql(1));

fn insert_sql(rows: usize) -> String {
    let values = (0..rows).map(|row| {
        let at = 2 + row * 4;
        format!("(?1, ?{}, ?{}, ?{}, ?{})", at, at + 1, at + 2, at + 3)
    });
    format!(
        "INSERT INTO log_lines (deployment, seq, at, stream, text) VALUES {}",
        values.collect::<Vec<_>>().join(", ")
    )
}

fn append(db: &Connection, id: DeploymentId, first: i64, lines: &[NewLine]) -> DbResult<()> {
    let (many, few) = lines.split_at(lines.len() - lines.len() % ROWS);
    let mut number = first;
    for (sql, rows, lines) in [(&INSERT_ROWS, ROWS, many), (&INSERT_ROW, 1, few)] {
        let mut insert = db.prepare_cached(sql)?;
        insert.raw_bind_parameter(1, id.as_uuid())?;
        for rows in lines.chunks_exact(rows) {
            let mut at = 2;
            for line in rows {
                insert.raw_bind_parameter(at, number)?;
                insert.raw_bind_parameter(at + 1, line.at.timestamp_micros())?;
                insert.raw_bind_parameter(at + 2, line.stream.as_number())?;
                insert.raw_bind_parameter(at + 3, &line.text)?;
                at += 4;
                number += 1;
            }
            insert.raw_execute()?;
        }
    }
    Ok(())
}
