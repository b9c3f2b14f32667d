use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, fault};
use crate::model::{Actor, DeploymentStatus, Failure, JobState, ReleaseState, Stage};
use crate::store::{Beat, Outcome, Sweep};
use crate::system::Clock;

super::check_list! {
    sweep_leaves_leases_alone_within_the_grace,
    leases_that_ran_out_while_nobody_swept_get_one_more_term,
    many_leases_that_ran_out_at_once_get_one_more_term,
    leases_that_run_out_one_after_the_other_are_many_too,
    leases_that_cannot_be_ended_hold_nothing_up,
    sweep_without_a_grace_takes_every_lease,
    sweep_requeues_then_fails_when_no_attempt_is_left,
    sweep_leaves_what_was_asked_to_stop_to_the_next_attempt,
    a_fault_is_tried_again_until_no_attempt_is_left,
    a_fault_that_nothing_can_mend_fails_at_once,
    a_fault_after_a_wish_to_cancel_leaves_it_to_the_next_attempt,
    a_fault_that_nothing_can_mend_cancels_what_was_asked_to_stop,
    cancel_between_two_attempts_leaves_it_to_the_next_at_once,
    fail_twice_is_one_failure,
}

async fn sweep_leaves_leases_alone_within_the_grace(b: Bench) {
    let job = b.enqueue(None).await;
    b.claim().await;
    b.clock.advance(TERM + TERM / 20);
    assert_eq!(
        b.store.sweep(Some(TERM), TERM, 100).await.unwrap(),
        Sweep::default()
    );
    b.clock.advance(TERM / 10);
    let rescued = b.store.sweep(Some(TERM), TERM, 100).await.unwrap().rescued;
    assert_eq!(rescued, [(job.id, JobState::Pending)]);
}

async fn leases_that_ran_out_while_nobody_swept_get_one_more_term(b: Bench) {
    let (held, alive) = (b.enqueue(None).await, b.enqueue(None).await);
    let sweep = async || b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    let (lost, claim) = (b.claim().await, b.claim().await);
    assert_eq!(sweep().await, Sweep::default());
    b.clock.advance(TERM * 3);
    for _ in 0..2 {
        assert_eq!(
            (sweep().await.held_back, sweep().await.rescued),
            (2, vec![])
        );
        b.clock.advance(TERM / 2 - Duration::from_secs(1));
    }
    b.store.heartbeat(&[claim], TERM).await.unwrap();
    b.clock.advance(Duration::from_secs(2));
    assert_eq!(sweep().await.rescued, [(held.id, JobState::Pending)]);
    assert_refused!(b.store.complete(&lost).await, LeaseLost);
    assert_eq!(b.job(alive.id).await.state, JobState::Running);
    b.store.complete(&claim).await.unwrap();
}

async fn many_leases_that_ran_out_at_once_get_one_more_term(b: Bench) {
    let mut claims = Vec::new();
    for _ in 0..12 {
        b.enqueue(None).await;
        claims.push(b.claim().await);
    }
    let sweep = async || b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    // A minute later, in which all is well.
    for _ in 0..10 {
        b.clock.advance(TERM / 5);
        b.store.heartbeat(&claims, TERM).await.unwrap();
        assert_eq!(sweep().await, Sweep::default());
    }
    let mut steps = 0;
    while sweep().await.held_back == 0 {
        b.clock.advance(TERM / 5);
        b.store.heartbeat(&claims[7..], TERM).await.unwrap();
        steps += 1;
        assert!(steps < 10, "seven of twelve are more than half");
    }
    assert_eq!(sweep().await.rescued, []);
    for _ in 0..4 {
        b.clock.advance(TERM / 5);
        b.store.heartbeat(&claims[7..], TERM).await.unwrap();
        assert_eq!(sweep().await.held_back, 7);
    }
    b.clock.advance(TERM / 5);
    assert_eq!(sweep().await.rescued.len(), 7);
}

async fn leases_that_run_out_one_after_the_other_are_many_too(b: Bench) {
    let (second, mut rescued) = (Duration::from_secs(1), 0);
    let sweep = async || b.store.sweep(Some(TERM), TERM * 9, 100).await.unwrap();
    for _ in 0..20 {
        b.enqueue(None).await;
        b.claim().await;
        b.clock.advance(second);
        assert_eq!(sweep().await, Sweep::default());
    }
    let held_back = loop {
        b.clock.advance(second);
        let swept = sweep().await;
        rescued += swept.rescued.len();
        if swept.held_back > 0 || rescued == 20 {
            break swept.held_back;
        }
    };
    assert_eq!((rescued, held_back), (10, 1), "no more than half of twenty");
    for _ in 0..29 {
        b.clock.advance(second);
        assert_eq!(sweep().await.rescued, []);
    }
    b.clock.advance(second);
    assert_eq!(sweep().await.rescued.len(), 10, "nobody has said a word");
}

async fn leases_that_cannot_be_ended_hold_nothing_up(b: Bench) {
    for _ in 0..12 {
        b.enqueue(None).await;
        b.claim().await;
    }
    // None is ended at the time, as where none of the rows can be read.
    let mut held = Vec::new();
    for _ in 0..60 {
        b.clock.advance(TERM / 5);
        let sweep = b.store.sweep(Some(TERM), TERM, 0).await.unwrap();
        held.push(sweep.held_back > 0);
    }
    assert_eq!(held.iter().filter(|held| **held).count(), 5, "{held:?}");
    b.enqueue(None).await;
    let claim = b.claim().await;
    let sweep = b.store.sweep(Some(TERM), TERM, 100).await.unwrap();
    assert_eq!((sweep.held_back, sweep.rescued.len()), (0, 12));
    b.store.complete(&claim).await.unwrap();
}

async fn sweep_without_a_grace_takes_every_lease(b: Bench) {
    let (held, waiting) = (b.enqueue(None).await, b.enqueue(None).await);
    let claim = b.claim().await;
    let swept = b.store.sweep(None, TERM, 100).await.unwrap();
    assert_eq!(swept.rescued, [(held.id, JobState::Pending)]);
    assert_refused!(b.store.complete(&claim).await, LeaseLost);
    assert_eq!(b.job(waiting.id).await.state, JobState::Queued);
}

async fn sweep_requeues_then_fails_when_no_attempt_is_left(b: Bench) {
    let (_, deployment, mut claim) = b.held().await;
    let pause = Duration::from_secs(5);
    let mut placed = Vec::new();
    for attempt in 1..=3 {
        placed.push(b.place(&claim, deployment.id).await.id);
        b.clock.advance(TERM * 2);
        let rescued = b
            .store
            .sweep(Some(Duration::ZERO), pause, 100)
            .await
            .unwrap()
            .rescued;
        let (row, job) = (b.row(deployment.id).await, b.job(claim.job).await);
        assert_eq!((job.worker, job.lease_until), (None, None));
        if attempt < 3 {
            assert_eq!(rescued, [(claim.job, JobState::Pending)]);
            assert_eq!(
                (row.status, row.stage),
                (DeploymentStatus::Queued, Stage::Queued)
            );
            assert_eq!((job.attempt, job.run_at), (attempt, b.clock.now() + pause));
            assert!(b.claim_up_to(1).await.is_empty());
            b.pass(pause).await;
            claim = b.claim().await;
        } else {
            assert_eq!(rescued, [(claim.job, JobState::Failed)]);
            assert_eq!(row.status, DeploymentStatus::Failed);
            assert!(
                matches!(row.failure, Some(Failure::Fault { .. })),
                "not {:?}",
                row.failure
            );
        }
    }
    for id in placed {
        assert_eq!(b.release(id).await.state, ReleaseState::Gone);
    }
    assert!(
        b.store
            .sweep(Some(Duration::ZERO), pause, 100)
            .await
            .unwrap()
            .rescued
            .is_empty()
    );
    let moved = ["building", "deploying", "queued"].repeat(2);
    let moved = [moved, vec!["building", "deploying", "failed"]].concat();
    assert_eq!(b.moves(deployment.id).await, moved);
}

async fn sweep_leaves_what_was_asked_to_stop_to_the_next_attempt(b: Bench) {
    let (_, deployment, mut claim) = b.held().await;
    b.enter(&claim, deployment.id, Stage::Checkout)
        .await
        .unwrap();
    b.store
        .request_cancel(&b.actor, deployment.id, "changed my mind")
        .await
        .unwrap();
    for attempt in 1..=3 {
        b.clock.advance(TERM * 2);
        let sweep = b
            .store
            .sweep(Some(Duration::ZERO), TERM, 100)
            .await
            .unwrap();
        let row = b.row(deployment.id).await;
        if attempt < 3 {
            assert_eq!(sweep.rescued, [(claim.job, JobState::Queued)]);
            assert_eq!(
                (row.status, row.stage),
                (DeploymentStatus::Cancelling, Stage::Queued)
            );
            // At once: there is nothing to be spared by waiting.
            claim = b.claim().await;
            assert_refused!(
                b.enter(&claim, deployment.id, Stage::Checkout).await,
                Illegal
            );
        } else {
            assert_eq!(sweep.rescued, [(claim.job, JobState::Cancelled)]);
        }
    }
    let row = b.row(deployment.id).await;
    assert_eq!(row.status, DeploymentStatus::Cancelled);
    assert!(
        matches!(row.failure, Some(Failure::Cancelled { .. })),
        "not {:?}",
        row.failure
    );
}

async fn a_fault_is_tried_again_until_no_attempt_is_left(b: Bench) {
    let (_, deployment, mut claim) = b.held().await;
    for attempt in 1..=2 {
        b.enter(&claim, deployment.id, Stage::Checkout)
            .await
            .unwrap();
        let pause = Duration::from_secs(7);
        let state = b.store.fail(&claim, fault(Some(pause))).await.unwrap();
        let (row, job) = (b.row(deployment.id).await, b.job(claim.job).await);
        assert_eq!((state, job.state), (JobState::Pending, JobState::Pending));
        assert_eq!((job.attempt, job.run_at), (attempt, b.clock.now() + pause));
        assert_eq!(job.error.as_deref(), Some("the network is down"));
        assert_eq!(row.status, DeploymentStatus::Queued);
        b.pass(pause).await;
        claim = b.claim().await;
    }
    let state = b
        .store
        .fail(&claim, fault(Some(Duration::ZERO)))
        .await
        .unwrap();
    assert_eq!(state, JobState::Failed);
    let row = b.row(deployment.id).await;
    let failure = Failure::Fault {
        message: "the network is down".to_owned(),
    };
    assert_eq!(
        (row.status, row.failure),
        (DeploymentStatus::Failed, Some(failure))
    );
}

async fn a_fault_that_nothing_can_mend_fails_at_once(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    assert_eq!(
        b.store.fail(&claim, fault(None)).await.unwrap(),
        JobState::Failed
    );
    assert_eq!(b.row(deployment.id).await.status, DeploymentStatus::Failed);
    assert_eq!(b.job(claim.job).await.state, JobState::Failed);
}

async fn a_fault_after_a_wish_to_cancel_leaves_it_to_the_next_attempt(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let engine = Actor::engine(b.tenant().clone());
    b.store
        .request_cancel(&engine, deployment.id, "x")
        .await
        .unwrap();
    for _ in 0..2 {
        let state = b.store.fail(&claim, fault(Some(TERM))).await.unwrap();
        assert_eq!(state, JobState::Queued);
    }
    assert_eq!(
        b.row(deployment.id).await.status,
        DeploymentStatus::Cancelling
    );
    let claim = b.claim().await;
    let beats = b.store.heartbeat(&[claim], TERM).await.unwrap();
    assert_eq!(beats, [Beat::Held { cancel: true }]);
    let row = b
        .store
        .finish(&claim, deployment.id, Outcome::Cancelled)
        .await
        .unwrap();
    assert_eq!(row.status, DeploymentStatus::Cancelled);
}

async fn cancel_between_two_attempts_leaves_it_to_the_next_at_once(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    b.enter(&claim, deployment.id, Stage::Checkout)
        .await
        .unwrap();
    b.store.fail(&claim, fault(Some(TERM))).await.unwrap();
    assert!(b.claim_up_to(1).await.is_empty());
    for _ in 0..2 {
        let row = b
            .store
            .request_cancel(&b.actor, deployment.id, "x")
            .await
            .unwrap();
        assert_eq!(row.status, DeploymentStatus::Cancelling);
    }
    let claim = b.claim().await;
    assert_eq!(claim.job, deployment.job);
    b.store
        .finish(&claim, deployment.id, Outcome::Cancelled)
        .await
        .unwrap();
    assert_eq!(b.job(claim.job).await.state, JobState::Cancelled);
}

async fn a_fault_that_nothing_can_mend_cancels_what_was_asked_to_stop(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    b.store
        .request_cancel(&b.actor, deployment.id, "x")
        .await
        .unwrap();
    let state = b.store.fail(&claim, fault(None)).await.unwrap();
    assert_eq!(state, JobState::Cancelled);
    assert_eq!(
        b.row(deployment.id).await.status,
        DeploymentStatus::Cancelled
    );
}

async fn fail_twice_is_one_failure(b: Bench) {
    b.enqueue(None).await;
    for (retry_after, want) in [
        (Some(Duration::ZERO), JobState::Queued),
        (None, JobState::Failed),
    ] {
        let claim = b.claim().await;
        for _ in 0..2 {
            let state = b.store.fail(&claim, fault(retry_after)).await.unwrap();
            assert_eq!(state, want);
        }
        assert_refused!(b.store.complete(&claim).await, LeaseLost);
        assert_eq!(b.job(claim.job).await.state, want);
    }
}
