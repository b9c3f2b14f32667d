use std::time::Duration;

use super::bench::{Bench, TERM, assert_refused, commit, verdict};
use crate::model::{AuditAction, DeploymentStatus as Status, Failure, JobState, Page, Stage};
use crate::store::Outcome;
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
    audit_tells_each_move,
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
