//! The register of workers.

use async_trait::async_trait;
use deployr_core::model::WorkerId;
use deployr_core::store::{FORGOTTEN, StoreResult, WorkerReport, WorkerSeen, Workers};

use super::PgStore;
use super::query::{execute, many, to_json};
use super::rows;
use super::time::interval;

#[async_trait]
impl Workers for PgStore {
    async fn report_worker(&self, report: WorkerReport) -> StoreResult<()> {
        let report = &report;
        self.call("report_worker", |db| {
            Box::pin(async move {
                let sql = "DELETE FROM workers WHERE seen_at <= now() - $1";
                execute(db.get(), sqlx::query(sql).bind(interval(FORGOTTEN))).await?;
                let sql = "INSERT INTO workers (id, report, since, seen_at)
                           VALUES ($1, $2, now(), now())
                           ON CONFLICT (id) DO UPDATE
                           SET report = excluded.report, seen_at = excluded.seen_at";
                let statement = sqlx::query(sql)
                    .bind(report.id.as_uuid())
                    .bind(to_json(report)?);
                execute(db.get(), statement).await.map(drop)
            })
        })
        .await
    }

    async fn remove_worker(&self, id: WorkerId) -> StoreResult<()> {
        self.call("remove_worker", |db| {
            Box::pin(async move {
                let sql = "DELETE FROM workers WHERE id = $1";
                execute(db.get(), sqlx::query(sql).bind(id.as_uuid()))
                    .await
                    .map(drop)
            })
        })
        .await
    }

    async fn workers(&self) -> StoreResult<Vec<WorkerSeen>> {
        self.call("workers", |db| {
            Box::pin(async move {
                let sql = "SELECT report, since, seen_at, now() AS present
                           FROM workers ORDER BY id";
                many(db.get(), sqlx::query(sql), rows::worker).await
            })
        })
        .await
    }
}
