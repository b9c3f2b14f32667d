use std::time::Duration;

use super::bench::{Bench, assert_refused, kind, limit};
use crate::model::{JobTemplate, Page, Schedule};
use crate::store::{Advance, NewSchedule};
use crate::system::{Clock, Timestamp, stored};
use crate::value::{ScheduleName, TenantId, Timetable};

super::check_list! {
    a_schedule_is_kept_as_it_was_given,
    a_timetable_that_stays_keeps_its_next_time,
    a_schedule_is_due_by_the_stores_clock,
    of_many_who_see_it_due_one_moves_it_on,
    what_comes_and_that_it_came_are_one,
    schedules_are_listed_by_name,
    schedules_of_another_tenant_do_not_exist,
}

const HOUR: Duration = Duration::from_secs(3_600);

fn name(name: &str) -> ScheduleName {
    ScheduleName::parse(name).unwrap()
}

fn hourly(schedule: &str) -> NewSchedule {
    let mut job = JobTemplate::new(kind("work"), serde_json::json!({ "of": schedule }));
    job.limits = vec![limit("backups", 1)];
    NewSchedule {
        name: name(schedule),
        timetable: Timetable::parse("0 * * * * Europe/Vienna").unwrap(),
        job,
    }
}

impl Bench {
    async fn put(&self, new: NewSchedule) -> Schedule {
        self.store.put_schedule(self.tenant(), new).await.unwrap()
    }

    async fn schedule(&self, wanted: &str) -> Schedule {
        let wanted = name(wanted);
        let found = self.store.schedule(self.tenant(), &wanted);
        found.await.unwrap()
    }

    /// Says when a schedule comes next, as of what was seen of it.
    async fn reckon(&self, seen: &Schedule, next: Timestamp) -> bool {
        self.come(seen, next, false).await
    }

    async fn come(&self, seen: &Schedule, next: Timestamp, with_job: bool) -> bool {
        let job = with_job.then(|| self.new_job("work", None));
        let advance = Advance {
            seen: seen.next_at,
            next,
            job,
        };
        let moved = self.store.advance(&seen.tenant, &seen.name, advance);
        moved.await.unwrap()
    }

    fn in_an_hour(&self) -> Timestamp {
        stored(self.clock.now() + HOUR)
    }
}

async fn a_schedule_is_kept_as_it_was_given(b: Bench) {
    let new = hourly("backup");
    let schedule = b.put(new.clone()).await;
    assert_eq!(schedule.job, new.job);
    assert_eq!(schedule.timetable, new.timetable);
    assert_eq!((schedule.next_at, schedule.last_at), (None, None));
    assert_eq!(b.schedule("backup").await, schedule);

    b.clock.advance(HOUR);
    assert_eq!(b.put(new).await, schedule, "the same again changes nothing");

    let wanted = name("backup");
    let removed = b.store.remove_schedule(b.tenant(), &wanted);
    removed.await.unwrap();
    let again = b.store.remove_schedule(b.tenant(), &wanted);
    assert_refused!(again.await, NotFound);
    let gone = b.store.schedule(b.tenant(), &wanted);
    assert_refused!(gone.await, NotFound);
}

async fn a_timetable_that_stays_keeps_its_next_time(b: Bench) {
    let schedule = b.put(hourly("backup")).await;
    let next = b.in_an_hour();
    assert!(b.reckon(&schedule, next).await);

    let mut new = hourly("backup");
    new.job.priority = 7;
    let changed = b.put(new.clone()).await;
    assert_eq!((changed.next_at, changed.job.priority), (Some(next), 7));
    assert_eq!(changed.created_at, schedule.created_at);

    new.timetable = Timetable::parse("30 * * * *").unwrap();
    assert_eq!(b.put(new).await.next_at, None, "to be reckoned again");
}

async fn a_schedule_is_due_by_the_stores_clock(b: Bench) {
    let due = || async { b.store.due_schedules(10).await.unwrap() };
    assert!(due().await.schedules.is_empty());

    let schedule = b.put(hourly("backup")).await;
    let unreckoned = due().await;
    assert_eq!(
        unreckoned.schedules,
        std::slice::from_ref(&schedule),
        "it has no time yet"
    );
    assert_eq!(unreckoned.now, Some(stored(b.clock.now())));

    assert!(b.reckon(&schedule, b.in_an_hour()).await);
    b.clock.advance(HOUR - Duration::from_micros(1));
    assert!(due().await.schedules.is_empty(), "not yet");
    b.clock.advance(Duration::from_micros(1));
    assert_eq!(due().await.schedules, [b.schedule("backup").await]);

    b.put(hourly("other")).await;
    assert_eq!(b.store.due_schedules(1).await.unwrap().schedules.len(), 1);
}

async fn of_many_who_see_it_due_one_moves_it_on(b: Bench) {
    let schedule = b.put(hourly("backup")).await;
    let first = b.in_an_hour();
    assert!(b.reckon(&schedule, first).await);
    let seen = b.schedule("backup").await;
    b.clock.advance(HOUR);

    let next = b.in_an_hour();
    let nodes = (0..8).map(|_| b.come(&seen, next, true));
    let moved = futures::future::join_all(nodes).await;
    assert_eq!(moved.iter().filter(|moved| **moved).count(), 1);
    let stats = b.store.queue_stats().await.unwrap();
    assert_eq!(stats.queued, 1, "one job has come");
    let now = b.schedule("backup").await;
    assert_eq!((now.last_at, now.next_at), (Some(first), Some(next)));

    let removed = b.store.remove_schedule(b.tenant(), &now.name);
    removed.await.unwrap();
    assert!(!b.come(&now, next, true).await, "it is gone");
    assert_eq!(b.store.queue_stats().await.unwrap().queued, 1);
}

async fn what_comes_and_that_it_came_are_one(b: Bench) {
    let schedule = b.put(hourly("backup")).await;
    let taken = b.enqueue(None).await;
    let job = crate::store::NewJob {
        id: taken.id,
        ..b.new_job("work", None)
    };
    let advance = Advance {
        seen: None,
        next: b.in_an_hour(),
        job: Some(job),
    };
    let refused = b.store.advance(b.tenant(), &schedule.name, advance);
    assert_refused!(refused.await, Conflict);
    assert_eq!(b.schedule("backup").await, schedule, "it has not come");
}

async fn schedules_are_listed_by_name(b: Bench) {
    for schedule in ["b", "c", "a"] {
        b.put(hourly(schedule)).await;
    }
    let page = |page| async { b.store.schedules(b.tenant(), page).await.unwrap() };
    let names = |all: &[Schedule]| {
        let names = all.iter().map(|one| one.name.to_string());
        names.collect::<Vec<_>>()
    };
    let first = page(Page::first(2)).await;
    assert_eq!(names(&first), ["a", "b"]);
    let second = page(Page::first(2).after(name("b"))).await;
    assert_eq!(names(&second), ["c"]);
}

async fn schedules_of_another_tenant_do_not_exist(b: Bench) {
    let schedule = b.put(hourly("backup")).await;
    let them = TenantId::parse("other").unwrap();
    let theirs = b.store.schedules(&them, Page::first(10)).await.unwrap();
    assert!(theirs.is_empty());
    assert_refused!(b.store.schedule(&them, &schedule.name).await, NotFound);
    let removed = b.store.remove_schedule(&them, &schedule.name);
    assert_refused!(removed.await, NotFound);
    let advance = Advance {
        seen: None,
        next: b.in_an_hour(),
        job: None,
    };
    let moved = b.store.advance(&them, &schedule.name, advance);
    assert!(!moved.await.unwrap());
    assert_eq!(b.schedule("backup").await, schedule);
}
