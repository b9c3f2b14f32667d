use std::collections::HashSet;
use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, fault, kind};
use crate::model::{Deployment, DeploymentStatus, Failure, Fence, JobState, Labels, Stage};
use crate::store::{ClaimRequest, Due, JobFault, NewJob, QueueStats};
use crate::system::Clock;

super::check_list! {
    a_job_is_never_given_to_two,
    a_claimed_job_is_running_under_its_claim,
    the_oldest_is_given_first,
    nothing_is_given_before_its_time,
    unknown_kinds_are_left_alone,
    an_id_is_enqueued_once,
    one_job_of_a_key_at_a_time,
    pending_is_promoted_when_the_key_is_free,
    start_within_is_enforced,
    start_within_is_enforced_for_pending_jobs,
    a_late_job_is_not_given_out,
    a_job_that_comes_back_has_its_time_to_start_anew,
    a_job_that_comes_back_can_be_late,
    a_deployment_that_nobody_takes_up_again_makes_room,
    a_wish_to_cancel_ends_with_the_time_to_start,
    queue_stats_count_what_is_not_over,
}

async fn a_job_is_never_given_to_two(b: Bench) {
    for _ in 0..20 {
        b.enqueue(None).await;
    }
    let rounds = futures::future::join_all((0..8).map(|_| b.claim_up_to(5))).await;
    let given: Vec<_> = rounds
        .into_iter()
        .flatten()
        .map(|lease| lease.job.id)
        .collect();
    assert_eq!(given.len(), 20, "each job is given");
    assert_eq!(
        given.iter().collect::<HashSet<_>>().len(),
        20,
        "and given once"
    );
}

async fn a_claimed_job_is_running_under_its_claim(b: Bench) {
    let made = b.enqueue(None).await;
    assert_eq!(
        (made.state, made.attempt, made.fence),
        (JobState::Queued, 0, Fence(0))
    );
    let lease = b.claim_up_to(1).await.remove(0);
    let job = &lease.job;
    assert_eq!(
        (job.id, job.state, job.attempt),
        (made.id, JobState::Running, 1)
    );
    assert_eq!(
        (job.fence, job.worker),
        (lease.claim.fence, Some(lease.claim.worker))
    );
    assert_eq!(lease.claim.job, made.id);
    assert_eq!(lease.term, TERM);
    assert_eq!(job.lease_until, Some(b.clock.now() + TERM));
    assert_eq!(b.job(made.id).await, lease.job);
}

async fn the_oldest_is_given_first(b: Bench) {
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(b.enqueue(None).await.id);
    }
    let ids = |leases: Vec<crate::model::Lease>| -> Vec<_> {
        leases.into_iter().map(|lease| lease.job.id).collect()
    };
    assert_eq!(ids(b.claim_up_to(1).await), made[..1]);
    assert_eq!(ids(b.claim_up_to(2).await), made[1..3]);
    assert!(b.claim_up_to(0).await.is_empty());
}

async fn nothing_is_given_before_its_time(b: Bench) {
    let new = NewJob {
        due: Due::After(Duration::from_secs(60)),
        ..b.new_job("work", None)
    };
    b.store.enqueue(b.tenant(), new).await.unwrap();
    assert!(b.claim_up_to(1).await.is_empty());
    b.pass(Duration::from_secs(59)).await;
    assert!(b.claim_up_to(1).await.is_empty());
    b.pass(Duration::from_secs(1)).await;
    assert_eq!(b.claim_up_to(1).await.len(), 1);
}

async fn unknown_kinds_are_left_alone(b: Bench) {
    let job = b
        .store
        .enqueue(b.tenant(), b.new_job("foreign", None))
        .await
        .unwrap();
    assert!(b.claim_up_to(1).await.is_empty());
    assert_eq!(b.job(job.id).await, job);
    let request = ClaimRequest {
        worker: b.worker_id(),
        kinds: Vec::new(),
        limit: 9,
        offers: Labels::new(),
        term: TERM,
    };
    assert!(b.store.claim(request).await.unwrap().is_empty());
    let request = ClaimRequest {
        worker: b.worker_id(),
        kinds: vec![kind("foreign")],
        limit: 9,
        offers: Labels::new(),
        term: TERM,
    };
    assert_eq!(b.store.claim(request).await.unwrap().len(), 1);
}

async fn an_id_is_enqueued_once(b: Bench) {
    let new = b.new_job("work", None);
    let first = b.store.enqueue(b.tenant(), new.clone()).await.unwrap();
    let again = NewJob {
        kind: kind("deploy"),
        ..new
    };
    assert_refused!(b.store.enqueue(b.tenant(), again).await, Conflict);
    assert_eq!(b.job(first.id).await, first);
}

async fn one_job_of_a_key_at_a_time(b: Bench) {
    let first = b.enqueue(Some("k")).await;
    let second = b.enqueue(Some("k")).await;
    let other = b.enqueue(Some("other")).await;
    assert_eq!(
        (first.state, second.state),
        (JobState::Queued, JobState::Pending)
    );
    let given: Vec<_> = b
        .claim_up_to(9)
        .await
        .into_iter()
        .map(|lease| lease.job.id)
        .collect();
    assert_eq!(given, [first.id, other.id]);
    assert_eq!(b.enqueue(Some("k")).await.state, JobState::Pending);
    assert!(b.claim_up_to(9).await.is_empty());
}

async fn pending_is_promoted_when_the_key_is_free(b: Bench) {
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(b.enqueue(Some("k")).await.id);
    }
    let first = b.claim().await;
    b.store.complete(&first).await.unwrap();
    assert_eq!(
        b.job(jobs[1]).await.state,
        JobState::Queued,
        "after a completion, the oldest"
    );
    assert_eq!(b.job(jobs[2]).await.state, JobState::Pending);

    let second = b.claim().await;
    let retry = JobFault {
        error: "x".to_owned(),
        retry_after: Some(Duration::ZERO),
    };
    b.store.fail(&second, retry).await.unwrap();
    assert_eq!(
        b.job(jobs[2]).await.state,
        JobState::Pending,
        "a retry keeps the key"
    );

    let second = b.claim().await;
    assert_eq!(second.job, jobs[1]);
    b.store
        .fail(
            &second,
            JobFault {
                error: "x".to_owned(),
                retry_after: None,
            },
        )
        .await
        .unwrap();
    assert_eq!(
        b.job(jobs[2]).await.state,
        JobState::Queued,
        "after a failure"
    );

    let third = b.claim().await;
    b.store.release(&third).await.unwrap();
    assert_eq!(
        b.job(jobs[3]).await.state,
        JobState::Pending,
        "a job handed back keeps the key"
    );
}

async fn start_within_is_enforced(b: Bench) {
    let project = b.project("app").await;
    let mut new = b.new_deployment(project.id);
    new.job.start_within = Duration::from_secs(60);
    let deployment = b.store.create_deployment(&b.actor, new).await.unwrap();
    let next = b.deployment(project.id).await;
    let sweep = async || b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    b.clock.advance(Duration::from_secs(59));
    assert!(sweep().await.timed_out.is_empty());
    b.clock.advance(Duration::from_secs(2));
    assert_eq!(sweep().await.timed_out, [deployment.job]);
    let (row, job) = (b.row(deployment.id).await, b.job(deployment.job).await);
    assert_eq!(
        (row.status, job.state),
        (DeploymentStatus::Failed, JobState::Failed)
    );
    assert!(
        matches!(row.failure, Some(Failure::Fault { .. })),
        "not {:?}",
        row.failure
    );
    assert!(job.error.is_some() && job.finished_at.is_some() && row.finished_at.is_some());
    assert_eq!(
        b.job(next.job).await.state,
        JobState::Queued,
        "the key is free"
    );
    assert!(sweep().await.timed_out.is_empty());
}

async fn start_within_is_enforced_for_pending_jobs(b: Bench) {
    b.enqueue(Some("k")).await;
    b.claim().await;
    let start_within = Duration::from_secs(10);
    let new = NewJob {
        start_within,
        ..b.new_job("work", Some("k"))
    };
    let pending = b.store.enqueue(b.tenant(), new).await.unwrap();
    b.clock.advance(Duration::from_secs(11));
    assert_eq!(
        b.store
            .sweep(Some(TERM), TERM, 100)
            .await
            .unwrap()
            .timed_out,
        [pending.id]
    );
    assert_eq!(b.job(pending.id).await.state, JobState::Failed);
}

/// A job that must start within ten seconds.
async fn urgent(b: &Bench) -> crate::model::JobId {
    let start_within = Duration::from_secs(10);
    let new = NewJob {
        start_within,
        ..b.new_job("work", None)
    };
    b.store.enqueue(b.tenant(), new).await.unwrap().id
}

async fn a_late_job_is_not_given_out(b: Bench) {
    let late = urgent(&b).await;
    b.clock.advance(Duration::from_secs(11));
    assert!(b.claim_up_to(1).await.is_empty(), "also before a sweep");
    assert_eq!(
        b.store
            .sweep(Some(TERM), TERM, 100)
            .await
            .unwrap()
            .timed_out,
        [late]
    );
}

async fn a_job_that_comes_back_has_its_time_to_start_anew(b: Bench) {
    let id = urgent(&b).await;
    let (soon, sweep) = (Duration::from_secs(8), async || {
        let sweep = b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
        assert_eq!(sweep.timed_out, []);
        sweep
    });
    b.clock.advance(soon);
    b.store.release(&b.claim().await).await.unwrap();
    b.clock.advance(soon);
    sweep().await;
    let claim = b.claim().await;
    // A pause before the next attempt may be longer than it had to start.
    b.store.fail(&claim, fault(Some(TERM))).await.unwrap();
    b.clock.advance(TERM);
    assert_eq!(sweep().await.promoted, 1);
    b.clock.advance(soon);
    sweep().await;
    assert_eq!(b.claim().await.job, id);
    b.clock.advance(TERM * 2);
    let lost = b.store.sweep(Some(Duration::ZERO), TERM, 100).await;
    assert_eq!(lost.unwrap().rescued, [(id, JobState::Pending)]);
    b.clock.advance(TERM);
    assert_eq!(sweep().await.promoted, 1);
    b.clock.advance(soon);
    sweep().await;
    assert_eq!(b.claim().await.job, id);
}

async fn a_job_that_comes_back_can_be_late(b: Bench) {
    let id = urgent(&b).await;
    b.store.release(&b.claim().await).await.unwrap();
    b.clock.advance(Duration::from_secs(11));
    assert!(b.claim_up_to(1).await.is_empty(), "also before a sweep");
    let swept = b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    assert_eq!(swept.timed_out, [id]);
    let job = b.job(id).await;
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.as_ref().is_some_and(|why| why.contains("begun")));
}

/// A deployment that had begun and is in the queue again, with ten seconds to start; and one
/// that waits for it.
async fn given_back(b: &Bench) -> (Deployment, Deployment) {
    let project = b.project("app").await;
    let mut new = b.new_deployment(project.id);
    new.job.start_within = Duration::from_secs(10);
    let first = b.store.create_deployment(&b.actor, new).await.unwrap();
    let claim = b.claim().await;
    b.enter(&claim, first.id, Stage::Build).await.unwrap();
    let pause = fault(Some(Duration::from_secs(1)));
    b.store.fail(&claim, pause).await.unwrap();
    let second = b.deployment(project.id).await;
    assert_eq!(b.job(second.job).await.state, JobState::Pending);
    (first, second)
}

async fn a_deployment_that_nobody_takes_up_again_makes_room(b: Bench) {
    let (first, second) = given_back(&b).await;
    b.clock.advance(Duration::from_secs(12));
    let swept = b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    assert_eq!(swept.timed_out, [first.job]);
    let row = b.row(first.id).await;
    assert_eq!(row.status, DeploymentStatus::Failed);
    let tells = |message: &str| message.contains("begun") && message.contains("live");
    assert!(
        matches!(&row.failure, Some(Failure::Fault { message }) if tells(message)),
        "not {:?}",
        row.failure
    );
    assert_eq!(b.claim().await.job, second.job);
}

async fn a_wish_to_cancel_ends_with_the_time_to_start(b: Bench) {
    let (first, second) = given_back(&b).await;
    let cancel = async || {
        let wish = b.store.request_cancel(&b.actor, first.id, "a wish");
        wish.await.unwrap().status
    };
    // It may be taken up at once now, but has no longer for that.
    assert_eq!(cancel().await, DeploymentStatus::Cancelling);
    let job = b.job(first.job).await;
    assert_eq!(job.start_by, job.run_at + Duration::from_secs(10));
    b.clock.advance(Duration::from_secs(11));
    let swept = b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    assert_eq!(swept.timed_out, [first.job]);
    let row = b.row(first.id).await;
    assert_eq!(row.status, DeploymentStatus::Cancelled);
    let reason = "a wish".to_owned();
    assert_eq!(row.failure, Some(Failure::Cancelled { reason }));
    assert_eq!(b.job(first.job).await.state, JobState::Cancelled);
    assert_eq!(b.claim().await.job, second.job);
}

async fn queue_stats_count_what_is_not_over(b: Bench) {
    for _ in 0..3 {
        b.enqueue(Some("k")).await;
        b.enqueue(None).await;
    }
    let claim = b.claim().await;
    let stats = b.store.queue_stats().await.unwrap();
    assert_eq!(
        stats,
        QueueStats {
            pending: 2,
            queued: 3,
            running: 1
        }
    );
    b.store.complete(&claim).await.unwrap();
    let stats = b.store.queue_stats().await.unwrap();
    assert_eq!(
        stats,
        QueueStats {
            pending: 1,
            queued: 4,
            running: 0
        }
    );
}
