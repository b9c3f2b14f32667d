//! Jobs that come again and again.

use async_trait::async_trait;
use deployr_core::model::{Page, Schedule};
use deployr_core::store::{Advance, DueSchedules, NewSchedule, Schedules, StoreResult};
use deployr_core::system;
use deployr_core::value::{ScheduleName, TenantId};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::PgStore;
use super::enqueue;
use super::places;
use super::query::{execute, many, one, to_json};
use super::rows::{self, columns};
use super::time::Time;
use crate::error::{DbResult, not_found};
use crate::rows::readable;

#[async_trait]
impl Schedules for PgStore {
    async fn put_schedule(&self, tenant: &TenantId, new: NewSchedule) -> StoreResult<Schedule> {
        let new = &new;
        self.write("put_schedule", |tx| {
            Box::pin(async move {
                let statement = sqlx::query(include_str!("sql/put_schedule.sql"))
                    .bind(tenant.as_str())
                    .bind(new.name.as_str())
                    .bind(new.timetable.as_str())
                    .bind(to_json(&new.job)?);
                execute(tx.db(), statement).await?;
                find(tx.db(), tenant, &new.name).await
            })
        })
        .await
    }

    async fn schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<Schedule> {
        self.call("schedule", |db| Box::pin(find(db.get(), tenant, name)))
            .await
    }

    async fn schedules(
        &self,
        tenant: &TenantId,
        page: Page<ScheduleName>,
    ) -> StoreResult<Vec<Schedule>> {
        let page = &page;
        self.call("schedules", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(schedules),
                    " FROM schedules WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3"
                );
                let statement = sqlx::query(sql)
                    .bind(tenant.as_str())
                    .bind(page.after.as_ref().map_or("", ScheduleName::as_str))
                    .bind(i64::from(page.limit()));
                many(db.get(), statement, rows::schedule).await
            })
        })
        .await
    }

    async fn remove_schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<()> {
        self.call("remove_schedule", |db| {
            Box::pin(async move {
                let sql = "DELETE FROM schedules WHERE tenant = $1 AND name = $2";
                let statement = sqlx::query(sql).bind(tenant.as_str()).bind(name.as_str());
                match execute(db.get(), statement).await? {
                    0 => Err(not_found("schedule", name)),
                    _ => Ok(()),
                }
            })
        })
        .await
    }

    async fn due_schedules(&self, limit: u32) -> StoreResult<DueSchedules> {
        self.call("due_schedules", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(schedules),
                    ", now() AS present FROM schedules
                     WHERE next_at IS NULL OR next_at <= now() ORDER BY next_at NULLS FIRST"
                );
                let mut due = DueSchedules::default();
                let found = many(db.get(), sqlx::query(sql), |row| {
                    let present: Time = row.try_get("present")?;
                    Ok((present.0, rows::schedule(row)))
                });
                for (now, schedule) in found.await? {
                    if due.schedules.len() >= limit as usize {
                        break;
                    }
                    due.schedules.extend(readable(schedule));
                    due.now = Some(now);
                }
                Ok(due)
            })
        })
        .await
    }

    async fn advance(
        &self,
        tenant: &TenantId,
        name: &ScheduleName,
        advance: Advance,
    ) -> StoreResult<bool> {
        let advance = &advance;
        self.write("advance", |tx| {
            Box::pin(async move {
                // Keys before everything else: that is the order of locks.
                let limits = advance.job.iter().flat_map(|job| places::keys(&job.limits));
                places::lock(tx, &limits.collect::<Vec<_>>()).await?;
                let sql = "UPDATE schedules SET next_at = $4, updated_at = now(),
                               last_at = CASE WHEN $5 THEN next_at ELSE last_at END
                           WHERE tenant = $1 AND name = $2
                             AND next_at IS NOT DISTINCT FROM $3";
                let statement = sqlx::query(sql)
                    .bind(tenant.as_str())
                    .bind(name.as_str())
                    .bind(advance.seen.map(Time))
                    .bind(Time(system::stored(advance.next)))
                    .bind(advance.job.is_some());
                if execute(tx.db(), statement).await? == 0 {
                    return Ok(false);
                }
                if let Some(job) = &advance.job {
                    enqueue::enqueue(tx, tenant, job).await?;
                }
                Ok(true)
            })
        })
        .await
    }
}

async fn find(db: &mut PgConnection, tenant: &TenantId, name: &ScheduleName) -> DbResult<Schedule> {
    let sql = concat!(
        "SELECT ",
        columns!(schedules),
        " FROM schedules WHERE tenant = $1 AND name = $2"
    );
    let statement = sqlx::query(sql).bind(tenant.as_str()).bind(name.as_str());
    one(db, statement, rows::schedule)
        .await?
        .ok_or_else(|| not_found("schedule", name))
}
