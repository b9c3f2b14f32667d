//! The register of workers.

use async_trait::async_trait;
use deployr_core::model::WorkerId;
use deployr_core::store::{FORGOTTEN, StoreResult, WorkerReport, WorkerSeen, Workers};
use deployr_core::system;

use super::SqliteStore;
use super::query::{execute, many, to_json};
use super::rows;

#[async_trait]
impl Workers for SqliteStore {
    async fn report_worker(&self, report: WorkerReport) -> StoreResult<()> {
        self.write("report_worker", move |tx| {
            let sql = "DELETE FROM workers WHERE seen_at <= ?1";
            let silent = system::earlier(tx.now, FORGOTTEN).timestamp_micros();
            execute(tx.db, sql, [silent])?;
            let sql = "INSERT INTO workers (id, report, since, seen_at) VALUES (?1, ?2, ?3, ?3)
                       ON CONFLICT (id) DO UPDATE
                       SET report = excluded.report, seen_at = excluded.seen_at";
            let params = (report.id.as_uuid(), to_json(&report)?, tx.now());
            execute(tx.db, sql, params).map(drop)
        })
        .await
    }

    async fn remove_worker(&self, id: WorkerId) -> StoreResult<()> {
        self.write("remove_worker", move |tx| {
            let sql = "DELETE FROM workers WHERE id = ?1";
            execute(tx.db, sql, [id.as_uuid()]).map(drop)
        })
        .await
    }

    async fn workers(&self) -> StoreResult<Vec<WorkerSeen>> {
        let now = system::stored(self.0.clock.now());
        self.read("workers", move |db| {
            let sql = "SELECT report, since, seen_at, ?1 AS present FROM workers ORDER BY id";
            many(db, sql, [now.timestamp_micros()], rows::worker)
        })
        .await
    }
}
