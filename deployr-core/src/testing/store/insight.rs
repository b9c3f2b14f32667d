use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, fault, kind, limit};
use crate::model::{Job, JobState, Labels};
use crate::store::{FORGOTTEN, KindStats, NewJob, Standing, WorkerReport, WorkerSeen};
use crate::system::{Clock, stored};
use crate::value::{Label, TenantId};

super::check_list! {
    the_queue_is_told_by_kind,
    a_rescued_job_is_told_of,
    a_job_with_a_full_key_is_told_who_has_it,
    a_key_does_not_tell_of_another_tenants_jobs,
    a_job_is_told_how_many_come_before_it,
    a_paused_job_is_told_so,
    a_worker_is_known_until_it_ends,
    a_worker_that_was_silent_for_a_day_is_forgotten,
}

impl Bench {
    async fn standing(&self, job: &Job) -> Standing {
        let standing = self.store.standing(self.tenant(), job.id);
        standing.await.unwrap()
    }

    async fn one_of(&self, change: impl FnOnce(&mut NewJob)) -> Job {
        let mut new = self.new_job("work", None);
        change(&mut new);
        self.store.enqueue(self.tenant(), new).await.unwrap()
    }

    fn report(&self, node: &str) -> WorkerReport {
        WorkerReport {
            id: self.worker_id(),
            node: node.to_owned(),
            version: "1.2.3".to_owned(),
            kinds: [kind("work"), kind("deploy")].into(),
            offers: [Label::parse("gpu").unwrap()].into(),
            concurrency: 4,
            held: 1,
            lease: TERM,
        }
    }

    async fn seen(&self) -> Vec<WorkerSeen> {
        self.store.workers().await.unwrap()
    }
}

async fn the_queue_is_told_by_kind(b: Bench) {
    assert_eq!(b.store.queue_by_kind().await.unwrap(), []);
    b.enqueue(None).await;
    b.claim().await;
    let oldest = b.enqueue(None).await.run_at;
    b.pass(Duration::from_secs(5)).await;
    b.enqueue(None).await;
    b.enqueue(Some("one")).await;
    b.enqueue(Some("one")).await;
    let other = b.new_job("deploy", None);
    b.store.enqueue(b.tenant(), other).await.unwrap();

    let kinds = b.store.queue_by_kind().await.unwrap();
    assert_eq!(kinds.len(), 2, "by name");
    assert_eq!(
        (kinds[0].kind.clone(), kinds[0].queued),
        (kind("deploy"), 1)
    );
    let work = KindStats {
        kind: kind("work"),
        pending: 1,
        queued: 3,
        running: 1,
        rescued: 0,
        oldest: Some(oldest),
    };
    assert_eq!(kinds[1], work);
}

async fn a_rescued_job_is_told_of(b: Bench) {
    b.enqueue(None).await;
    b.claim().await;
    b.clock.advance(TERM * 2);
    b.store.sweep(Some(TERM / 10), TERM, 10).await.unwrap();
    let rescued = || async { b.store.queue_by_kind().await.unwrap()[0].rescued };
    assert_eq!(rescued().await, 1, "while it waits for its next attempt");
    b.pass(TERM).await;
    let claim = b.claim().await;
    assert_eq!(rescued().await, 1, "while it runs again");
    b.store.complete(&claim).await.unwrap();
    assert!(b.store.queue_by_kind().await.unwrap().is_empty());
}

async fn a_job_with_a_full_key_is_told_who_has_it(b: Bench) {
    let both = vec![limit("server", 2), limit("free", 1)];
    let first = b.one_of(|new| new.limits = both.clone()).await;
    let second = b.enqueue(Some("server")).await;
    assert_eq!(
        second.state,
        JobState::Pending,
        "with one place, it has none"
    );
    let third = b.one_of(|new| new.limits = vec![limit("server", 2)]).await;
    assert_eq!(third.state, JobState::Queued);

    let standing = b.standing(&second).await;
    assert_eq!(standing.now, stored(b.clock.now()));
    assert_eq!(standing.before, 0, "it stands in no line");
    let [full] = &*standing.full else {
        panic!("one key is full: {:?}", standing.full);
    };
    assert_eq!(
        (full.key.as_str(), full.max.get(), full.taken),
        ("server", 1, 2)
    );
    assert_eq!(full.holders, [first.id, third.id]);

    let ready = b.standing(&third).await;
    assert!(ready.full.is_empty(), "it has a place itself");
    let claim = b.claim().await;
    assert_eq!(claim.job, first.id);
    let runs = b.standing(&first).await;
    assert_eq!(
        (runs.job.state, runs.full.len(), runs.before),
        (JobState::Running, 0, 0)
    );

    // A place is kept while the next attempt is waited for.
    b.store.fail(&claim, fault(Some(TERM))).await.unwrap();
    assert_eq!(b.standing(&first).await.full, []);
}

async fn a_key_does_not_tell_of_another_tenants_jobs(b: Bench) {
    let them = TenantId::parse("other").unwrap();
    let theirs = b.new_job("work", Some("server"));
    let theirs = b.store.enqueue(&them, theirs).await.unwrap();
    let own = b.enqueue(Some("server")).await;
    let full = b.standing(&own).await.full;
    assert_eq!((full[0].taken, full[0].holders.len()), (1, 0));
    let asked = b.store.standing(b.tenant(), theirs.id).await;
    assert_refused!(asked, NotFound);
}

async fn a_job_is_told_how_many_come_before_it(b: Bench) {
    let first = b.enqueue(None).await;
    let last = b.enqueue(None).await;
    let urgent = b.one_of(|new| new.priority = 5).await;
    b.one_of(|new| new.needs = Labels::from([Label::parse("gpu").unwrap()]))
        .await;
    let before = |job: Job| {
        let b = &b;
        async move { b.standing(&job).await.before }
    };
    assert_eq!(before(urgent).await, 0);
    assert_eq!(before(first).await, 1);
    assert_eq!(before(last.clone()).await, 2, "and none of another line");
    b.claim_up_to(2).await;
    assert_eq!(before(last).await, 0);
}

async fn a_paused_job_is_told_so(b: Bench) {
    let job = b.enqueue(None).await;
    assert!(!b.standing(&job).await.paused);
    b.store.pause(&kind("work"), true).await.unwrap();
    assert!(b.standing(&job).await.paused);
}

async fn a_worker_is_known_until_it_ends(b: Bench) {
    assert_eq!(b.seen().await, []);
    let (one, two) = (b.report("eu-1"), b.report("eu-2"));
    b.store.report_worker(one.clone()).await.unwrap();
    let since = stored(b.clock.now());
    b.clock.advance(Duration::from_secs(7));
    b.store.report_worker(two.clone()).await.unwrap();

    let seen = b.seen().await;
    assert_eq!([&seen[0].report, &seen[1].report], [&one, &two]);
    assert_eq!((seen[0].since, seen[0].seen_at), (since, since));
    assert_eq!(seen[0].silent, Duration::from_secs(7));
    assert_eq!(seen[1].silent, Duration::ZERO);
    assert!(seen[0].lives() && seen[1].lives());

    let busy = WorkerReport { held: 3, ..one };
    b.store.report_worker(busy.clone()).await.unwrap();
    let seen = b.seen().await;
    assert_eq!(seen[0].report, busy);
    assert_eq!((seen[0].since, seen[0].silent), (since, Duration::ZERO));

    b.store.remove_worker(busy.id).await.unwrap();
    b.store.remove_worker(busy.id).await.unwrap();
    let left = b.seen().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].report, two);
}

async fn a_worker_that_was_silent_for_a_day_is_forgotten(b: Bench) {
    b.store.report_worker(b.report("eu-1")).await.unwrap();
    b.clock.advance(FORGOTTEN - Duration::from_secs(1));
    b.store.report_worker(b.report("eu-2")).await.unwrap();
    let seen = b.seen().await;
    assert_eq!([seen[0].lives(), seen[1].lives()], [false, true]);
    b.clock.advance(Duration::from_secs(1));
    b.store.report_worker(b.report("eu-3")).await.unwrap();
    let nodes = b.seen().await.into_iter().map(|one| one.report.node);
    assert_eq!(nodes.collect::<Vec<_>>(), ["eu-2", "eu-3"]);
}
