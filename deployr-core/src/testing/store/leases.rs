use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, fault};
use crate::model::{Claim, DeploymentStatus, Failure, Fence, JobState, Labels, Page, Stage};
use crate::store::{Beat, Outcome, Sweep};
use crate::system::Clock;

super::check_list! {
    fence_rises_on_every_claim_also_of_the_same_worker,
    a_stale_fence_is_refused_by_every_write,
    a_claim_that_was_given_up_writes_no_line,
    a_claim_of_one_job_does_not_write_to_another_deployment,
    an_expired_lease_that_nobody_took_still_counts,
    heartbeat_extends_the_lease,
    heartbeat_revives_an_expired_lease_that_nobody_took,
    heartbeat_cannot_take_back_a_job_claimed_by_another,
    complete_twice_is_one_completion,
    a_job_handed_back_has_not_used_its_attempt,
    to_hand_back_twice_is_to_hand_back_once,
    a_worker_is_told_what_it_holds,
}

async fn fence_rises_on_every_claim_also_of_the_same_worker(b: Bench) {
    b.enqueue(None).await;
    let first = b.claim().await;
    b.store.release(&first).await.unwrap();
    let request = crate::store::ClaimRequest {
        worker: first.worker,
        kinds: vec![super::bench::kind("work")],
        limit: 1,
        offers: Labels::new(),
        term: TERM,
    };
    let second = b.store.claim(request).await.unwrap()[0].claim;
    assert!(second.fence > first.fence);
    assert_refused!(b.store.complete(&first).await, LeaseLost);
    b.store.complete(&second).await.unwrap();
}

async fn a_stale_fence_is_refused_by_every_write(b: Bench) {
    let (_, deployment, old) = b.held().await;
    let placed = b.place(&old, deployment.id).await;
    b.store
        .fail(&old, fault(Some(Duration::ZERO)))
        .await
        .unwrap();
    let new = b.claim().await;
    assert_eq!(new.job, old.job);
    let wrong = [
        old,
        Claim {
            worker: b.worker_id(),
            ..new
        },
        Claim {
            fence: Fence(new.fence.0 + 1),
            ..new
        },
        Claim {
            job: b.job_id(),
            ..new
        },
    ];
    let (id, before) = (
        deployment.id,
        (b.row(deployment.id).await, b.job(new.job).await),
    );
    let audit = b.store.audit(b.tenant(), Page::first(100)).await.unwrap();
    for claim in &wrong {
        let store = &b.store;
        assert_refused!(b.enter(claim, id, Stage::Checkout).await, LeaseLost);
        assert_refused!(store.append_log(claim, id, 1, Vec::new()).await, LeaseLost);
        assert_refused!(
            store.record_release(claim, id, b.new_release()).await,
            LeaseLost
        );
        assert_refused!(store.mark_gone(claim, id, &[1]).await, LeaseLost);
        for outcome in [
            Outcome::Success { release: placed.id },
            Outcome::Failed(Failure::Fault {
                message: "x".to_owned(),
            }),
            Outcome::Cancelled,
        ] {
            assert_refused!(store.finish(claim, id, outcome).await, LeaseLost);
        }
        assert_refused!(store.complete(claim).await, LeaseLost);
        assert_refused!(store.fail(claim, fault(None)).await, LeaseLost);
        assert_refused!(store.release(claim).await, LeaseLost);
        assert_eq!(
            store.heartbeat(&[*claim], TERM).await.unwrap(),
            [Beat::Lost]
        );
    }
    assert_eq!((b.row(id).await, b.job(new.job).await), before);
    assert_eq!(
        b.store.audit(b.tenant(), Page::first(100)).await.unwrap(),
        audit
    );
    let answers = b.store.heartbeat(&[old, new], TERM).await.unwrap();
    assert_eq!(
        answers,
        [Beat::Lost, Beat::Held { cancel: false }],
        "one answer a claim"
    );
}

async fn a_claim_that_was_given_up_writes_no_line(b: Bench) {
    let (_, deployment, mut claim) = b.held().await;
    let append = async |claim| {
        let at = b.clock.now();
        let line = super::ops::line(at, "late".to_owned());
        b.store
            .append_log(&claim, deployment.id, 1, vec![line])
            .await
    };
    b.store.release(&claim).await.unwrap();
    assert_refused!(append(claim).await, LeaseLost);
    claim = b.claim().await;
    let again = fault(Some(Duration::ZERO));
    b.store.fail(&claim, again).await.unwrap();
    assert_refused!(append(claim).await, LeaseLost);
    claim = b.claim().await;
    b.store.fail(&claim, fault(None)).await.unwrap();
    assert_refused!(append(claim).await, LeaseLost);
    let last = b.store.last_line(b.tenant(), deployment.id).await.unwrap();
    assert_eq!(last, 0);
}

async fn a_claim_of_one_job_does_not_write_to_another_deployment(b: Bench) {
    let (_, _, claim) = b.held().await;
    let other = b.deployment(b.project("other").await.id).await.id;
    let before = b.row(other).await;
    assert_refused!(b.enter(&claim, other, Stage::Checkout).await, LeaseLost);
    assert_refused!(
        b.store.append_log(&claim, other, 1, Vec::new()).await,
        LeaseLost
    );
    assert_refused!(
        b.store.record_release(&claim, other, b.new_release()).await,
        LeaseLost
    );
    assert_refused!(
        b.store.finish(&claim, other, Outcome::Cancelled).await,
        LeaseLost
    );
    assert_eq!(b.row(other).await, before);
}

async fn an_expired_lease_that_nobody_took_still_counts(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    b.clock.advance(TERM * 10);
    b.enter(&claim, deployment.id, Stage::Checkout)
        .await
        .unwrap();
}

async fn heartbeat_extends_the_lease(b: Bench) {
    b.enqueue(None).await;
    let claim = b.claim().await;
    for _ in 0..5 {
        b.clock.advance(TERM * 2 / 3);
        let beats = b.store.heartbeat(&[claim], TERM).await.unwrap();
        assert_eq!(beats, [Beat::Held { cancel: false }]);
        assert_eq!(
            b.job(claim.job).await.lease_until,
            Some(b.clock.now() + TERM)
        );
        let sweep = b
            .store
            .sweep(Some(Duration::ZERO), TERM, 100)
            .await
            .unwrap();
        assert_eq!(sweep, Sweep::default());
    }
    assert!(b.store.heartbeat(&[], TERM).await.unwrap().is_empty());
}

async fn heartbeat_revives_an_expired_lease_that_nobody_took(b: Bench) {
    b.enqueue(None).await;
    let claim = b.claim().await;
    b.clock.advance(TERM * 10);
    let beats = b.store.heartbeat(&[claim], TERM).await.unwrap();
    assert_eq!(beats, [Beat::Held { cancel: false }]);
    assert!(
        b.store
            .sweep(Some(Duration::ZERO), TERM, 100)
            .await
            .unwrap()
            .rescued
            .is_empty()
    );
    b.store.complete(&claim).await.unwrap();
}

async fn heartbeat_cannot_take_back_a_job_claimed_by_another(b: Bench) {
    b.enqueue(None).await;
    let first = b.claim().await;
    b.clock.advance(TERM * 2);
    b.store
        .sweep(Some(Duration::ZERO), Duration::ZERO, 100)
        .await
        .unwrap();
    assert_eq!(
        b.store.heartbeat(&[first], TERM).await.unwrap(),
        [Beat::Lost]
    );
    let second = b.claim().await;
    assert_eq!(second.job, first.job);
    let before = b.job(first.job).await;
    assert_eq!(
        b.store.heartbeat(&[first], TERM).await.unwrap(),
        [Beat::Lost]
    );
    assert_eq!(b.job(first.job).await, before);
}

async fn complete_twice_is_one_completion(b: Bench) {
    b.enqueue(None).await;
    let claim = b.claim().await;
    b.store.complete(&claim).await.unwrap();
    let before = b.job(claim.job).await;
    assert_eq!((before.state, before.worker), (JobState::Completed, None));
    assert_eq!(before.finished_at, Some(b.clock.now()));
    b.clock.advance(TERM);
    b.store.complete(&claim).await.unwrap();
    assert_eq!(b.job(claim.job).await, before);
    assert_refused!(b.store.fail(&claim, fault(None)).await, LeaseLost);
    assert_refused!(b.store.release(&claim).await, LeaseLost);
    assert_eq!(b.job(claim.job).await, before);
}

async fn a_job_handed_back_has_not_used_its_attempt(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    b.enter(&claim, deployment.id, Stage::Build).await.unwrap();
    b.store.release(&claim).await.unwrap();
    let (row, job) = (b.row(deployment.id).await, b.job(claim.job).await);
    assert_eq!(
        (job.state, job.attempt, job.worker),
        (JobState::Queued, 0, None)
    );
    assert_eq!(
        (row.status, row.stage),
        (DeploymentStatus::Queued, Stage::Queued)
    );
    let next = b.claim().await;
    assert!(next.job == claim.job && next.fence > claim.fence);
    assert_eq!(b.job(claim.job).await.attempt, 1);
}

async fn to_hand_back_twice_is_to_hand_back_once(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    b.store.release(&claim).await.unwrap();
    let before = (b.row(deployment.id).await, b.job(claim.job).await);
    b.clock.advance(TERM);
    b.store.release(&claim).await.unwrap();
    let after = (b.row(deployment.id).await, b.job(claim.job).await);
    assert_eq!(after, before);
    assert_refused!(b.store.fail(&claim, fault(None)).await, LeaseLost);
    let next = b.claim().await;
    assert_refused!(b.store.release(&claim).await, LeaseLost);

    let cancel = async || {
        b.store
            .request_cancel(&b.actor, deployment.id, "a wish")
            .await
    };
    cancel().await.unwrap();
    b.store.release(&next).await.unwrap();
    let before = (b.row(deployment.id).await, b.job(claim.job).await);
    assert_eq!(
        before.0.status,
        DeploymentStatus::Cancelling,
        "for the next"
    );
    assert_eq!((before.1.state, before.1.attempt), (JobState::Queued, 0));
    b.store.release(&next).await.unwrap();
    let after = (b.row(deployment.id).await, b.job(claim.job).await);
    assert_eq!(after, before);
}

async fn a_worker_is_told_what_it_holds(b: Bench) {
    for _ in 0..3 {
        b.enqueue(None).await;
    }
    let worker = b.worker_id();
    let held = async || b.store.held(worker).await.unwrap();
    assert_eq!(held().await, []);
    let request = crate::store::ClaimRequest {
        worker,
        kinds: vec![super::bench::kind("work")],
        limit: 2,
        offers: Labels::new(),
        term: TERM,
    };
    let leases = b.store.claim(request).await.unwrap();
    let other = b.claim().await;
    let jobs: Vec<_> = leases.iter().map(|lease| lease.job.clone()).collect();
    assert_eq!(held().await, jobs);
    assert_eq!(b.store.held(other.worker).await.unwrap()[0].id, other.job);
    b.clock.advance(TERM * 3);
    assert_eq!(held().await, jobs, "also when its lease has run out");
    b.store.complete(&leases[0].claim).await.unwrap();
    assert_eq!(held().await, jobs[1..]);
    b.store
        .fail(&leases[1].claim, fault(Some(TERM)))
        .await
        .unwrap();
    assert_eq!(held().await, []);
}
