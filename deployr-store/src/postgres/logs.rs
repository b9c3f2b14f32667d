//! The logs of deployments.

use async_trait::async_trait;
use deployr_core::log::LogLine;
use deployr_core::model::{Claim, DeploymentId};
use deployr_core::store::{LOG_READ_BYTES, Logs, NewLine, StoreError, StoreResult};
use deployr_core::value::TenantId;

use super::PgStore;
use super::deployments::must_be_there;
use super::query::{many, one, scalar, text};
use super::rows;
use super::time::Time;

/// The most lines that are read at once.
const MAX_LINES: u32 = 10_000;

#[async_trait]
impl Logs for PgStore {
    async fn append_log(
        &self,
        claim: &Claim,
        id: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        // No log is so long: beyond, adding to it would overflow.
        let first = first.clamp(i64::MIN / 2, i64::MAX / 2);
        let lines = &lines;
        let next: Option<i64> = self
            .call("append_log", |db| {
                Box::pin(async move {
                    let at = lines.iter().map(|line| Time(line.at));
                    let streams = lines.iter().map(|line| line.stream.as_number());
                    let texts = lines.iter().map(|line| text(&line.text));
                    let statement = sqlx::query(include_str!("sql/append_log.sql"))
                        .bind(claim.job.as_uuid())
                        .bind(claim.fence.0)
                        .bind(claim.worker.as_uuid())
                        .bind(at.collect::<Vec<_>>())
                        .bind(streams.collect::<Vec<_>>())
                        .bind(texts.collect::<Vec<_>>())
                        .bind(id.as_uuid())
                        .bind(first);
                    one(db.get(), statement, scalar).await
                })
            })
            .await?;
        match next {
            None => Err(StoreError::LeaseLost { job: claim.job }),
            Some(expected) if first > expected => Err(StoreError::LogGap {
                deployment: id,
                expected,
            }),
            Some(next) => Ok(next),
        }
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
        after: i64,
        limit: u32,
    ) -> StoreResult<Vec<LogLine>> {
        self.call("read_log", |db| {
            Box::pin(async move {
                must_be_there(db.get(), tenant, id).await?;
                let statement = sqlx::query(include_str!("sql/read_log.sql"))
                    .bind(id.as_uuid())
                    .bind(after)
                    .bind(i64::from(limit.min(MAX_LINES)))
                    .bind(LOG_READ_BYTES as i64);
                many(db.get(), statement, rows::log_line).await
            })
        })
        .await
    }

    async fn last_line(&self, tenant: &TenantId, id: DeploymentId) -> StoreResult<i64> {
        self.call("last_line", |db| {
            Box::pin(async move {
                must_be_there(db.get(), tenant, id).await?;
                let sql = "SELECT coalesce(max(seq), 0) FROM log_lines WHERE deployment = $1";
                let last = one(db.get(), sqlx::query(sql).bind(id.as_uuid()), scalar);
                Ok(last.await?.unwrap_or(0))
            })
        })
        .await
    }
}
