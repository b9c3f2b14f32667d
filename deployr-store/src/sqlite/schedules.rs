//! Jobs that come again and again.

use async_trait::async_trait;
use deployr_core::model::{Page, Schedule};
use deployr_core::store::{Advance, DueSchedules, NewSchedule, Schedules, StoreResult};
use deployr_core::system;
use deployr_core::value::{ScheduleName, TenantId};
use rusqlite::Connection;

use super::SqliteStore;
use super::jobs;
use super::query::{execute, many, one, to_json};
use super::rows;
use crate::error::{DbResult, not_found};
use crate::rows::readable;

#[async_trait]
impl Schedules for SqliteStore {
    async fn put_schedule(&self, tenant: &TenantId, new: NewSchedule) -> StoreResult<Schedule> {
        let tenant = tenant.clone();
        self.write("put_schedule", move |tx| {
            let job = to_json(&new.job)?;
            execute(
                tx.db,
                include_str!("sql/put_schedule.sql"),
                (
                    tenant.as_str(),
                    new.name.as_str(),
                    new.timetable.as_str(),
                    job,
                    tx.now(),
                ),
            )?;
            find(tx.db, &tenant, &new.name)
        })
        .await
    }

    async fn schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<Schedule> {
        let (tenant, name) = (tenant.clone(), name.clone());
        self.read("schedule", move |db| find(db, &tenant, &name))
            .await
    }

    async fn schedules(
        &self,
        tenant: &TenantId,
        page: Page<ScheduleName>,
    ) -> StoreResult<Vec<Schedule>> {
        let tenant = tenant.clone();
        self.read("schedules", move |db| {
            let sql = "SELECT * FROM schedules WHERE tenant = ?1 AND name > ?2
                       ORDER BY name LIMIT ?3";
            let after = page.after.as_ref().map_or("", ScheduleName::as_str);
            let params = (tenant.as_str(), after, page.limit());
            many(db, sql, params, rows::schedule)
        })
        .await
    }

    async fn remove_schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<()> {
        let (tenant, name) = (tenant.clone(), name.clone());
        self.write("remove_schedule", move |tx| {
            let sql = "DELETE FROM schedules WHERE tenant = ?1 AND name = ?2";
            match execute(tx.db, sql, (tenant.as_str(), name.as_str()))? {
                0 => Err(not_found("schedule", &name)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn due_schedules(&self, limit: u32) -> StoreResult<DueSchedules> {
        let now = system::stored(self.0.clock.now());
        self.read("due_schedules", move |db| {
            let sql = "SELECT * FROM schedules WHERE next_at IS NULL OR next_at <= ?1
                       ORDER BY next_at";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query([now.timestamp_micros()])?;
            let mut due = DueSchedules::default();
            while due.schedules.len() < limit as usize
                && let Some(row) = rows.next()?
            {
                due.schedules.extend(readable(rows::schedule(row)));
            }
            due.now = (!due.schedules.is_empty()).then_some(now);
            Ok(due)
        })
        .await
    }

    async fn advance(
        &self,
        tenant: &TenantId,
        name: &ScheduleName,
        advance: Advance,
    ) -> StoreResult<bool> {
        let (tenant, name) = (tenant.clone(), name.clone());
        self.write("advance", move |tx| {
            let sql = "UPDATE schedules SET next_at = ?4, updated_at = ?5,
                           last_at = CASE WHEN ?6 THEN next_at ELSE last_at END
                       WHERE tenant = ?1 AND name = ?2 AND next_at IS ?3";
            let moved = execute(
                tx.db,
                sql,
                (
                    tenant.as_str(),
                    name.as_str(),
                    advance.seen.map(|at| at.timestamp_micros()),
                    system::stored(advance.next).timestamp_micros(),
                    tx.now(),
                    advance.job.is_some(),
                ),
            )?;
            if moved == 0 {
                return Ok(false);
            }
            if let Some(job) = advance.job {
                jobs::insert(tx, &tenant, job)?;
            }
            Ok(true)
        })
        .await
    }
}

fn find(db: &Connection, tenant: &TenantId, name: &ScheduleName) -> DbResult<Schedule> {
    let sql = "SELECT * FROM schedules WHERE tenant = ?1 AND name = ?2";
    one(db, sql, (tenant.as_str(), name.as_str()), rows::schedule)?
        .ok_or_else(|| not_found("schedule", name))
}
