use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, commit, kind};
use crate::model::{
    AuditAction, DeploymentStatus as Status, Failure, JobState, Page, ReleaseState, Stage,
};
use crate::store::{Beat, ClaimRequest, Outcome};
use crate::system::Clock;

super::check_list! {
    a_new_deployment_is_queued_with_its_job,
    a_deployment_is_created_once,
    deployments_of_a_project_take_turns,
    superseded_deployments_are_cancelled,
    work_that_has_begun_is_not_superseded,
    stages_move_the_status_and_have_times,
    entering_the_present_stage_changes_nothing,
    a_stage_of_the_past_is_refused,
    cancel_of_a_queued_deployment_is_immediate,
    cancel_of_a_running_one_waits_for_the_worker,
    cancel_after_the_end_changes_nothing,
    a_success_after_a_wish_to_cancel_is_a_success,
    a_verdict_completes_the_job_and_a_fault_fails_it,
    finish_twice_is_one_finish,
    each_final_deployment_enqueues_one_notice,
    audit_tells_each_move,
}

fn verdict() -> Failure {
    Failure::Verdict {
        code: "build_failed".to_owned(),
        message: "exited 1".to_owned(),
    }
}

async fn a_new_deployment_is_queued_with_its_job(b: Bench) {
    let project = b.project("app").await;
    let new = b.new_deployment(project.id);
    let made = b
        .store
        .create_deployment(&b.actor, new.clone())
        .await
        .unwrap();
    assert_eq!((made.id, made.job, made.number), (new.id, new.job.id, 1));
    assert_eq!((made.status, made.stage), (Status::Queued, Stage::Queued));
    assert_eq!(
        (made.actor.as_str(), made.created_at),
        ("ada", b.clock.now())
    );
    assert_eq!(
        (made.started_at, made.finished_at, &made.commit),
        (None, None, &None)
    );
    assert_eq!(b.row(made.id).await, made);
    let job = b.job(made.job).await;
    assert_eq!((job.state, &job.kind), (JobState::Queued, &new.job.kind));
    let stages = b.store.stages(b.tenant(), made.id).await.unwrap();
    assert_eq!(stages.len(), 1);
    assert_eq!((stages[0].stage, stages[0].attempt), (Stage::Queued, 0));
    assert_eq!(
        (stages[0].started_at, stages[0].ended_at),
        (b.clock.now(), None)
    );
    assert_eq!(b.deployment(project.id).await.number, 2);
    assert_eq!(b.deployment(b.project("other").await.id).await.number, 1);
}

async fn a_deployment_is_created_once(b: Bench) {
    let project = b.project("app").await;
    let new = b.new_deployment(project.id);
    let made = b
        .store
        .create_deployment(&b.actor, new.clone())
        .await
        .unwrap();
    assert_refused!(b.store.create_deployment(&b.actor, new).await, Conflict);
    let mut same_job = b.new_deployment(project.id);
    same_job.job.id = made.job;
    assert_refused!(
        b.store.create_deployment(&b.actor, same_job.clone()).await,
        Conflict
    );
    assert_refused!(b.store.deployment(b.tenant(), same_job.id).await, NotFound);
    let unknown = b.new_deployment(b.project_id());
    assert_refused!(
        b.store.create_deployment(&b.actor, unknown.clone()).await,
        NotFound
    );
    assert_refused!(b.store.job(b.tenant(), unknown.job.id).await, NotFound);
}

async fn deployments_of_a_project_take_turns(b: Bench) {
    let (project, first, claim) = b.held().await;
    let second = b.deployment(project.id).await;
    assert_eq!(b.job(second.job).await.state, JobState::Pending);
    assert!(b.claim_up_to(9).await.is_empty());
    b.store
        .finish(&claim, first.id, Outcome::Failed(verdict()))
        .await
        .unwrap();
    assert_eq!(b.claim().await.job, second.job);
}

async fn superseded_deployments_are_cancelled(b: Bench) {
    let project = b.project("app").await;
    let other = b.deployment(b.project("other").await.id).await;
    let queued = b.deployment(project.id).await;
    let pending = b.deployment(project.id).await;
    let new = crate::store::NewDeployment {
        supersede: true,
        ..b.new_deployment(project.id)
    };
    let new = b.store.create_deployment(&b.actor, new).await.unwrap();
    let reason = format!("superseded by {}", new.id);
    for old in [queued, pending] {
        let row = b.row(old.id).await;
        let failure = Some(Failure::Cancelled {
            reason: reason.clone(),
        });
        assert_eq!((row.status, row.failure), (Status::Cancelled, failure));
        assert_eq!(
            (row.stage, row.finished_at),
            (Stage::Finished, Some(b.clock.now()))
        );
        assert_eq!(b.job(old.job).await.state, JobState::Cancelled);
    }
    assert_eq!(b.job(new.job).await.state, JobState::Queued);
    assert_eq!(b.row(other.id).await, other);
}

async fn work_that_has_begun_is_not_superseded(b: Bench) {
    let (project, running, claim) = b.held().await;
    let next = async || {
        let new = crate::store::NewDeployment {
            supersede: true,
            ..b.new_deployment(project.id)
        };
        b.store.create_deployment(&b.actor, new).await.unwrap()
    };
    let first = next().await;
    assert_eq!(
        b.row(running.id).await.status,
        Status::Queued,
        "held by a worker"
    );
    let fault = crate::store::JobFault {
        error: "x".to_owned(),
        retry_after: Some(TERM),
    };
    b.store.fail(&claim, fault).await.unwrap();
    let second = next().await;
    assert_eq!(
        b.row(running.id).await.status,
        Status::Queued,
        "waits for a second attempt"
    );
    assert_eq!(b.row(first.id).await.status, Status::Cancelled);
    assert_eq!(b.job(second.job).await.state, JobState::Pending);
}

async fn stages_move_the_status_and_have_times(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let id = deployment.id;
    let steps = [
        (Stage::Checkout, Status::Building),
        (Stage::Build, Status::Building),
        (Stage::Release, Status::Deploying),
        (Stage::Verify, Status::Deploying),
        (Stage::Activate, Status::Deploying),
    ];
    let began = b.clock.now() + Duration::from_secs(1);
    for (stage, status) in steps {
        b.clock.advance(Duration::from_secs(1));
        let noted = (stage == Stage::Build).then(commit);
        let row = b
            .store
            .enter_stage(&claim, id, stage, noted.as_ref())
            .await
            .unwrap();
        assert_eq!(
            (row.status, row.stage, row.started_at),
            (status, stage, Some(began))
        );
        assert_eq!(row.commit, (stage >= Stage::Build).then(commit));
        assert_eq!(b.row(id).await, row);
    }
    b.clock.advance(Duration::from_secs(1));
    b.store
        .finish(&claim, id, Outcome::Failed(verdict()))
        .await
        .unwrap();
    let times = b.store.stages(b.tenant(), id).await.unwrap();
    let seen: Vec<_> = times.iter().map(|times| times.stage).collect();
    assert_eq!(seen, Stage::ALL[..6]);
    for pair in times.windows(2) {
        assert_eq!(pair[0].ended_at, Some(pair[1].started_at));
        assert_eq!(pair[1].attempt, 1);
    }
    assert_eq!(times[5].ended_at, Some(b.clock.now()));
    let row = b.row(id).await;
    assert_eq!(
        (row.stage, row.finished_at),
        (Stage::Finished, Some(b.clock.now()))
    );
}

async fn entering_the_present_stage_changes_nothing(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let first = b
        .enter(&claim, deployment.id, Stage::Checkout)
        .await
        .unwrap();
    let before = b.store.stages(b.tenant(), deployment.id).await.unwrap();
    b.clock.advance(Duration::from_secs(1));
    assert_eq!(
        b.enter(&claim, deployment.id, Stage::Checkout)
            .await
            .unwrap(),
        first
    );
    assert_eq!(
        b.store.stages(b.tenant(), deployment.id).await.unwrap(),
        before
    );
    assert_eq!(b.moves(deployment.id).await, ["building"]);
}

async fn a_stage_of_the_past_is_refused(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let row = b.enter(&claim, deployment.id, Stage::Verify).await.unwrap();
    for stage in [
        Stage::Queued,
        Stage::Checkout,
        Stage::Build,
        Stage::Finished,
    ] {
        assert_refused!(b.enter(&claim, deployment.id, stage).await, Illegal);
    }
    assert_eq!(b.row(deployment.id).await, row);
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
            .sweep(Duration::ZERO, Duration::ZERO, 100)
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
        assert_eq!((job.max_attempts, &job.concurrency_key), (5, &None));
    }
}

async fn audit_tells_each_move(b: Bench) {
    let (_, deployment, claim) = b.held().await;
    let release = b.place(&claim, deployment.id).await.id;
    b.store
        .request_cancel(&b.actor, deployment.id, "late")
        .await
        .unwrap();
    let outcome = Outcome::Success { release };
    b.store
        .finish(&claim, deployment.id, outcome)
        .await
        .unwrap();
    let mut entries = b.store.audit(b.tenant(), Page::first(100)).await.unwrap();
    entries.retain(|entry| entry.deployment == Some(deployment.id));
    entries.reverse();
    assert!(entries.is_sorted_by_key(|entry| entry.seq));
    let (wished, told): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry.action == AuditAction::CancelRequested);
    assert_eq!(wished.len(), 1);
    assert_eq!(wished[0].actor, "ada");
    assert_eq!(
        (told[0].action, told[0].actor.as_str()),
        (AuditAction::DeploymentCreated, "ada")
    );
    let moves: Vec<_> = told[1..]
        .iter()
        .map(|e| (e.detail.as_str(), e.actor.as_str()))
        .collect();
    let [building, deploying, cancelling, success] = moves[..] else {
        panic!("four moves, not {moves:?}");
    };
    assert_eq!(
        [building, deploying],
        [("building", "deployr"), ("deploying", "deployr")]
    );
    assert_eq!(
        (cancelling.0, success),
        ("cancelling", ("success", "deployr"))
    );
}
