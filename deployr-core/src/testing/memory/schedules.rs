use async_trait::async_trait;

use super::MemoryStore;
use super::state::not_found;
use crate::model::{Page, Schedule};
use crate::store::{Advance, DueSchedules, NewSchedule, Schedules, StoreResult};
use crate::system::stored;
use crate::value::{ScheduleName, TenantId};

#[async_trait]
impl Schedules for MemoryStore {
    async fn put_schedule(&self, tenant: &TenantId, new: NewSchedule) -> StoreResult<Schedule> {
        self.write(|state| {
            let NewSchedule {
                name,
                timetable,
                job,
            } = new;
            let key = (tenant.clone(), name.clone());
            let now = state.now;
            let old = state.schedules.get(&key);
            let mut schedule = Schedule::new(tenant.clone(), name, timetable, job, now);
            if let Some(old) = old {
                if (&old.timetable, &old.job) == (&schedule.timetable, &schedule.job) {
                    return Ok(old.clone());
                }
                let same = old.timetable == schedule.timetable;
                schedule.next_at = old.next_at.filter(|_| same);
                (schedule.last_at, schedule.created_at) = (old.last_at, old.created_at);
            }
            state.schedules.insert(key, schedule.clone());
            Ok(schedule)
        })
    }

    async fn schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<Schedule> {
        self.read(|state| {
            let found = state.schedules.get(&(tenant.clone(), name.clone()));
            found.cloned().ok_or_else(|| not_found("schedule", name))
        })
    }

    async fn schedules(
        &self,
        tenant: &TenantId,
        page: Page<ScheduleName>,
    ) -> StoreResult<Vec<Schedule>> {
        self.read(|state| {
            let own = state.schedules.values().filter(|one| one.tenant == *tenant);
            let rest = own.filter(|one| page.after.as_ref().is_none_or(|after| one.name > *after));
            Ok(rest.take(page.limit() as usize).cloned().collect())
        })
    }

    async fn remove_schedule(&self, tenant: &TenantId, name: &ScheduleName) -> StoreResult<()> {
        self.write(|state| {
            let removed = state.schedules.remove(&(tenant.clone(), name.clone()));
            removed.map(drop).ok_or_else(|| not_found("schedule", name))
        })
    }

    async fn due_schedules(&self, limit: u32) -> StoreResult<DueSchedules> {
        let now = self.clock.now();
        self.read(|state| {
            let due = |one: &&Schedule| one.next_at.is_none_or(|next| next <= now);
            let mut schedules: Vec<_> = state.schedules.values().filter(due).cloned().collect();
            schedules.sort_by_key(|one| one.next_at);
            schedules.truncate(limit as usize);
            Ok(DueSchedules {
                now: (!schedules.is_empty()).then_some(now),
                schedules,
            })
        })
    }

    async fn advance(
        &self,
        tenant: &TenantId,
        name: &ScheduleName,
        advance: Advance,
    ) -> StoreResult<bool> {
        self.write(|state| {
            let now = state.now;
            let found = state.schedules.get_mut(&(tenant.clone(), name.clone()));
            let Some(schedule) = found.filter(|one| one.next_at == advance.seen) else {
                return Ok(false);
            };
            schedule.next_at = Some(stored(advance.next));
            schedule.updated_at = now;
            if let Some(job) = advance.job {
                schedule.last_at = advance.seen;
                state.add_job(tenant, job, None)?;
            }
            Ok(true)
        })
    }
}
