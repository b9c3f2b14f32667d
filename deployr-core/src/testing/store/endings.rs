use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, kind, verdict};
use crate::model::{
    DeploymentStatus as Status, Failure, JobState, Labels, Page, ReleaseState, Stage,
};
use crate::store::{Beat, ClaimRequest, Outcome};
use crate::system::Clock;

super::check_list! {
    cancel_of_a_queued_deployment_is_immediate,
    cancel_of_a_running_one_waits_for_the_worker,
    cancel_after_the_end_changes_nothing,
    a_success_after_a_wish_to_cancel_is_a_success,
    a_verdict_completes_the_job_and_a_fault_fails_it,
    finish_twice_is_one_finish,
    each_final_deployment_enqueues_one_notice,
}

async fn cancel_of_a_queued_deployment_is_immediate(b: Bench) {
    let project = b.project("app").await;
    let queued = b.deployment(project.id).await;
    let pending = b.deployment(project.id).await;
    let last = b.deployment(project.id).await;
    for deployment in [pending, queued] {
        let row = b
            .store
            .request_cancel(&b.actor, deployment.id, "a typo")
            .await
            .unwrap();
        let failure = Some(Failure::Cancelled {
            reason: "a typo".to_owned(),
        });
        assert_eq!((row.status, &row.failure), (Status::Cancelled, &failure));
        assert_eq!(row.finished_at, Some(b.clock.now()));
        assert_eq!(b.job(deployment.job).await.state, JobState::Cancelled);
        assert_eq!(b.row(deployment.id).await, row);
        assert_eq!(b.moves(deployment.id).await, ["cancelled"]);
    }
    assert_eq!(
        b.job(last.job).await.state,
        JobState::Queued,
        "the key is free"
    );
}

async fn cancel_of_a_running_one_waits_for_the_worker(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    let placed = b.place(&claim, id).await;
    for _ in 0..2 {
        let row = b
            .store
            .request_cancel(&b.actor, id, "too slow")
            .await
            .unwrap();
        assert_eq!((row.status, row.finished_at), (Status::Cancelling, None));
    }
    assert!(b.job(claim.job).await.cancel_requested);
    let beats = b.store.heartbeat(&[claim], TERM).await.unwrap();
    assert_eq!(beats, [Beat::Held { cancel: true }]);
    assert_refused!(b.enter(&claim, id, Stage::Verify).await, Illegal);
    let row = b
        .store
        .finish(&claim, id, Outcome::Cancelled)
        .await
        .unwrap();
    let failure = Some(Failure::Cancelled {
        reason: "too slow".to_owned(),
    });
    assert_eq!((row.status, row.failure), (Status::Cancelled, failure));
    assert_eq!(b.job(claim.job).await.state, JobState::Cancelled);
    assert_eq!(b.release(placed.id).await.state, ReleaseState::Gone);
    let moved = ["building", "deploying", "cancelling", "cancelled"];
    assert_eq!(b.moves(id).await, moved);
}

async fn cancel_after_the_end_changes_nothing(b: Bench) {
    let (done, _) = b.go_live(b.project("app").await.id).await;
    let audit = b.store.audit(b.tenant(), Page::first(100)).await.unwrap();
    assert_eq!(
        b.store
            .request_cancel(&b.actor, done.id, "late")
            .await
            .unwrap(),
        done
    );
    assert_eq!(
        b.store.audit(b.tenant(), Page::first(100)).await.unwrap(),
        audit
    );
}

async fn a_success_after_a_wish_to_cancel_is_a_success(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let release = b.place(&claim, deployment.id).await.id;
    b.store
        .request_cancel(&b.actor, deployment.id, "late")
        .await
        .unwrap();
    let outcome = Outcome::Success { release };
    let row = b
        .store
        .finish(&claim, deployment.id, outcome)
        .await
        .unwrap();
    assert_eq!((row.status, row.failure), (Status::Success, None));
    assert_eq!(b.job(claim.job).await.state, JobState::Completed);
}

async fn a_verdict_completes_the_job_and_a_fault_fails_it(b: Bench) {
    let fault = Failure::Fault {
        message: "no disk".to_owned(),
    };
    let project = b.project("app").await;
    for (failure, job_state) in [(verdict(), JobState::Completed), (fault, JobState::Failed)] {
        let deployment = b.deployment(project.id).await;
        let claim = b.claim().await;
        let placed = b.place(&claim, deployment.id).await;
        let outcome = Outcome::Failed(failure.clone());
        let row = b
            .store
            .finish(&claim, deployment.id, outcome)
            .await
            .unwrap();
        assert_eq!((row.status, row.failure), (Status::Failed, Some(failure)));
        let job = b.job(claim.job).await;
        assert_eq!(
            (job.state, job.worker, job.lease_until),
            (job_state, None, None)
        );
        assert_eq!(b.release(placed.id).await.state, ReleaseState::Gone);
    }
}

async fn finish_twice_is_one_finish(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    let release = b.place(&claim, id).await.id;
    let success = Outcome::Success { release };
    let row = b.store.finish(&claim, id, success.clone()).await.unwrap();
    let audit = b.store.audit(b.tenant(), Page::first(100)).await.unwrap();
    b.clock.advance(Duration::from_secs(1));
    assert_eq!(b.store.finish(&claim, id, success).await.unwrap(), row);
    for other in [Outcome::Cancelled, Outcome::Failed(verdict())] {
        assert_refused!(b.store.finish(&claim, id, other).await, LeaseLost);
    }
    assert_eq!(b.row(id).await, row);
    assert_eq!(
        b.store.audit(b.tenant(), Page::first(100)).await.unwrap(),
        audit
    );
}

/// The notices that can be claimed.
async fn notices(b: &Bench) -> Vec<crate::model::Job> {
    let request = ClaimRequest {
        worker: b.worker_id(),
        kinds: vec![kind("notify")],
        limit: 100,
        offers: Labels::new(),
        term: TERM,
    };
    let leases = b.store.claim(request).await.unwrap();
    leases.into_iter().map(|lease| lease.job).collect()
}

async fn each_final_deployment_enqueues_one_notice(b: Bench) {
    let project = b.project("app").await.id;
    let create = async |supersede| {
        let new = crate::store::NewDeployment {
            supersede,
            ..b.new_deployment(project)
        };
        b.store
            .create_deployment(&b.actor, new.clone())
            .await
            .unwrap();
        new
    };
    let superseded = create(false).await;
    let claimed = create(true).await;
    let claim = b.claim().await;
    let cancelled = create(false).await;
    b.store
        .request_cancel(&b.actor, cancelled.id, "x")
        .await
        .unwrap();
    b.store
        .finish(&claim, claimed.id, Outcome::Failed(verdict()))
        .await
        .unwrap();
    b.store
        .finish(&claim, claimed.id, Outcome::Failed(verdict()))
        .await
        .unwrap();
    let lost = create(false).await;
    let _ = b.claim().await;
    for _ in 0..3 {
        b.clock.advance(TERM * 2);
        b.store
            .sweep(Some(Duration::ZERO), Duration::ZERO, 100)
            .await
            .unwrap();
        b.claim_up_to(1).await;
    }
    let mut told = notices(&b).await;
    told.sort_by_key(|job| job.id);
    let want = [superseded, claimed, cancelled, lost];
    let ids: Vec<_> = told.iter().map(|job| job.id).collect();
    assert_eq!(ids, want.each_ref().map(|new| new.notify_job));
    for (job, new) in told.iter().zip(&want) {
        let input = serde_json::json!({ "tenant": "acme", "deployment": new.id.to_string() });
        assert_eq!(job.input, input);
        assert_eq!((job.max_attempts, job.limits.len()), (5, 0));
    }
}
