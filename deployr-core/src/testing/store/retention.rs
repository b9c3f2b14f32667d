use std::time::Duration;

use super::bench::{Bench, TERM};
use crate::model::{DeploymentId, DeploymentStatus, Page};
use crate::store::{Pruned, Retention};

super::check_list! {
    logs_go_when_they_are_old_and_not_among_the_newest,
    a_log_goes_in_bounded_batches,
    jobs_that_are_over_go_and_no_others,
    jobs_that_stay_hide_no_other,
    the_audit_log_goes_by_age,
    nothing_goes_before_its_time,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps all for ever.
fn all() -> Retention {
    let ever = 10_000 * DAY;
    Retention {
        logs: ever,
        newest_logs: 0,
        jobs: ever,
        audit: ever,
    }
}

impl Bench {
    async fn lines(&self, id: DeploymentId) -> usize {
        let lines = self.store.read_log(self.tenant(), id, 0, 1_000).await;
        lines.unwrap().len()
    }

    async fn prune(&self, keep: &Retention, limit: u32) -> Pruned {
        self.store.prune(keep, limit).await.unwrap()
    }
}

async fn logs_go_when_they_are_old_and_not_among_the_newest(b: Bench) {
    let (app, other) = (b.project("app").await, b.project("other").await);
    let oldest = b.ended(app.id, 3).await;
    let old = b.ended(app.id, 3).await;
    let only = b.ended(other.id, 3).await;
    b.clock.advance(10 * DAY);
    let open = b.deployment(app.id).await.id;
    let keep = Retention {
        logs: 9 * DAY,
        newest_logs: 2,
        ..all()
    };
    assert_eq!(b.prune(&keep, 100).await.lines, 3);
    let left = [oldest, old, only].map(|id| b.lines(id));
    assert_eq!(futures::future::join_all(left).await, [0, 3, 3]);
    assert_eq!(b.prune(&keep, 100).await, Pruned::default());
    let row = b.row(oldest).await;
    assert_eq!(
        row.status,
        DeploymentStatus::Cancelled,
        "the deployment stays"
    );
    assert_eq!(b.store.last_line(b.tenant(), oldest).await.unwrap(), 0);
    assert_eq!(b.row(open).await.status, DeploymentStatus::Queued);
}

async fn a_log_goes_in_bounded_batches(b: Bench) {
    let app = b.project("app").await;
    b.ended(app.id, 5).await;
    b.ended(app.id, 5).await;
    b.clock.advance(10 * DAY);
    let keep = Retention {
        logs: 9 * DAY,
        ..all()
    };
    let mut batches = Vec::new();
    loop {
        match b.prune(&keep, 4).await.lines {
            0 => break,
            lines => batches.push(lines),
        }
    }
    assert_eq!(batches, [4, 4, 2]);
}

async fn jobs_that_are_over_go_and_no_others(b: Bench) {
    let app = b.project("app").await;
    let keep = Retention {
        jobs: 9 * DAY,
        ..all()
    };
    let deployment = b.ended(app.id, 1).await;
    let over = b.enqueue(Some("key")).await;
    let claim = b.claim().await;
    b.store.complete(&claim).await.unwrap();
    let runs = b.enqueue(None).await;
    let held = b.claim().await;
    let waits = b.enqueue(None).await;
    b.clock.advance(10 * DAY);
    b.store.heartbeat(&[held], TERM).await.unwrap();

    assert_eq!(b.prune(&keep, 100).await.jobs, 1);
    assert!(b.store.job(b.tenant(), over.id).await.is_err());
    for id in [runs.id, waits.id, b.row(deployment).await.job] {
        assert!(b.store.job(b.tenant(), id).await.is_ok(), "{id}");
    }
    assert_eq!(b.prune(&keep, 100).await, Pruned::default());
}

async fn jobs_that_stay_hide_no_other(b: Bench) {
    let new = (0..2_100).map(|_| b.new_job("never", None)).collect();
    b.store.enqueue_all(b.tenant(), new).await.unwrap();
    for _ in 0..3 {
        b.enqueue(None).await;
        let claim = b.claim().await;
        b.store.complete(&claim).await.unwrap();
    }
    b.clock.advance(10 * DAY);
    let keep = Retention {
        jobs: 9 * DAY,
        ..all()
    };
    let mut batches = Vec::new();
    while let jobs @ 1.. = b.prune(&keep, 2).await.jobs {
        batches.push(jobs);
    }
    assert_eq!(batches, [2, 1]);
    assert_eq!(b.store.queue_stats().await.unwrap().queued, 2_100);
}

async fn the_audit_log_goes_by_age(b: Bench) {
    b.project("old").await;
    b.clock.advance(10 * DAY);
    b.project("new").await;
    let keep = Retention {
        audit: 9 * DAY,
        ..all()
    };
    assert_eq!(b.prune(&keep, 100).await.audit, 1);
    let entries = b.store.audit(b.tenant(), Page::first(10)).await.unwrap();
    assert_eq!(entries.len(), 1);
    b.project("newest").await;
    let entries = b.store.audit(b.tenant(), Page::first(10)).await.unwrap();
    assert!(
        entries[0].seq > entries[1].seq,
        "numbers are not given twice"
    );
}

async fn nothing_goes_before_its_time(b: Bench) {
    let app = b.project("app").await;
    b.ended(app.id, 3).await;
    b.enqueue(None).await;
    let claim = b.claim().await;
    b.store.complete(&claim).await.unwrap();
    let keep = Retention {
        logs: DAY,
        newest_logs: 0,
        jobs: DAY,
        audit: DAY,
    };
    let second = Duration::from_secs(1);
    b.clock.advance(DAY - second);
    assert_eq!(b.prune(&keep, 100).await, Pruned::default());
    b.clock.advance(2 * second);
    let pruned = b.prune(&keep, 100).await;
    assert_eq!(pruned.lines, 3);
    assert!(pruned.jobs >= 1 && pruned.audit >= 1, "{pruned:?}");
}
