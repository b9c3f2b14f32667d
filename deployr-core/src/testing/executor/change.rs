use std::sync::Arc;

use super::bench::{Bench, GRACE, STEPS, slug};
use crate::error::{StepError, VerdictCode};
use crate::executor::Executor;
use crate::model::Turn;
use crate::testing::suite::check_list;

check_list! { Arc<Bench>;
    a_switch_of_a_lower_turn_is_refused,
    discard_leaves_the_present_release,
    a_release_that_was_discarded_is_not_switched_to,
    prune_never_removes_what_is_kept_or_present,
    prune_leaves_what_a_later_deployment_may_be_placing,
    retire_is_idempotent_and_keeps_the_files,
    the_present_release_is_not_retired,
    rollback_to_each_kept_release,
    a_new_instance_knows_what_is_present,
    live_releases_come_up_again,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

async fn a_switch_of_a_lower_turn_is_refused(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let late = b.release(&app, 1).await;
    b.steps(&*executor, &late, 1, STEPS - 1).await.unwrap();
    let newer = b.release(&app, 2).await;
    let endpoint = b
        .steps(&*executor, &newer, 5, STEPS)
        .await
        .unwrap()
        .unwrap();
    for executor in [executor, b.executor().await] {
        for turn in [Turn::new(1, 1), Turn::new(4, 9), Turn::new(5, 0)] {
            match executor.switch(&late.spec, turn, &b.context()).await {
                Err(StepError::Fault(fault)) if !fault.retryable => {}
                answer => panic!(
                    "{turn} after deployment 5, attempt 1 must be refused for good, not {answer:?}"
                ),
            }
            assert_eq!(executor.current(&app).await.unwrap(), Some(2));
        }
    }
    b.assert_says(&endpoint, &app, 2).await;
    let executor = b.executor().await;
    executor
        .switch(&late.spec, Turn::new(5, 2), &b.context())
        .await
        .unwrap();
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
}

/// Whether a release is on the target no longer.
async fn assert_gone(b: &Bench, executor: &dyn Executor, number: i64) {
    let rel = b.release(&slug("app"), number).await;
    match executor.start(&rel.spec, &b.context()).await {
        Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::ReleaseGone => {}
        answer => panic!("release {number} must be gone, not {answer:?}"),
    }
}

async fn discard_leaves_the_present_release(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let (_, live) = b.go_live(&*executor, &app, 1).await;
    let new = b.release(&app, 2).await;
    b.steps(&*executor, &new, 2, STEPS - 1).await.unwrap();
    for _ in 0..2 {
        executor.discard(&app, 2).await.unwrap();
    }
    executor.discard(&app, 99).await.unwrap();
    executor.discard(&slug("unknown"), 1).await.unwrap();
    assert_gone(&b, &*executor, 2).await;
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
    b.assert_says(&live, &app, 1).await;
}

/// A worker may have lost its lease between its verify and its switch.
async fn a_release_that_was_discarded_is_not_switched_to(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let (_, live) = b.go_live(&*executor, &app, 1).await;
    let new = b.release(&app, 2).await;
    b.steps(&*executor, &new, 2, STEPS - 1).await.unwrap();
    executor.discard(&app, 2).await.unwrap();
    let refused = executor
        .switch(&new.spec, Turn::new(2, 1), &b.context())
        .await;
    assert!(refused.is_err());
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
    b.assert_says(&live, &app, 1).await;
}

async fn prune_leaves_what_a_later_deployment_may_be_placing(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    b.place(&*executor, &app, 1).await;
    b.go_live(&*executor, &app, 2).await;
    let later = b.place(&*executor, &app, 3).await;
    assert_eq!(executor.prune(&app, &[]).await.unwrap(), [1]);
    executor.start(&later.spec, &b.context()).await.unwrap();
}

async fn prune_never_removes_what_is_kept_or_present(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    assert!(
        executor.prune(&app, &[]).await.unwrap().is_empty(),
        "nothing is there"
    );
    b.place(&*executor, &app, 1).await;
    let (_, live) = b.go_live(&*executor, &app, 2).await;
    b.place(&*executor, &app, 3).await;
    let kept = b.place(&*executor, &app, 4).await;
    let mut removed = executor.prune(&app, &[4, 77]).await.unwrap();
    removed.sort();
    assert_eq!(removed, [1, 3]);
    assert!(executor.prune(&app, &[4, 77]).await.unwrap().is_empty());
    assert_eq!(executor.current(&app).await.unwrap(), Some(2));
    b.assert_says(&live, &app, 2).await;
    assert_gone(&b, &*executor, 1).await;
    assert_gone(&b, &*executor, 3).await;
    let endpoint = executor.start(&kept.spec, &b.context()).await.unwrap();
    executor
        .verify(&kept.spec, &endpoint, &b.context())
        .await
        .unwrap();
    b.assert_says(&endpoint, &app, 4).await;
}

async fn the_present_release_is_not_retired(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let (_, live) = b.go_live(&*executor, &app, 1).await;
    let answer = executor.retire(&app, 1, GRACE).await;
    if executor.capabilities().processes {
        assert!(matches!(answer, Err(StepError::Fault(fault)) if !fault.retryable));
    }
    b.assert_says(&live, &app, 1).await;
}

async fn retire_is_idempotent_and_keeps_the_files(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let (old, _) = b.go_live(&*executor, &app, 1).await;
    let (_, live) = b.go_live(&*executor, &app, 2).await;
    for _ in 0..2 {
        executor.retire(&app, 1, GRACE).await.unwrap();
    }
    executor.retire(&app, 99, GRACE).await.unwrap();
    executor.retire(&slug("unknown"), 1, GRACE).await.unwrap();
    assert_eq!(executor.current(&app).await.unwrap(), Some(2));
    b.assert_says(&live, &app, 2).await;
    let again = executor.start(&old.spec, &b.context()).await.unwrap();
    executor
        .verify(&old.spec, &again, &b.context())
        .await
        .unwrap();
    b.assert_says(&again, &app, 1).await;
}

async fn rollback_to_each_kept_release(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let mut releases = Vec::new();
    for number in 1..=3 {
        releases.push(b.go_live(&*executor, &app, number).await.0);
        executor.retire(&app, number - 1, GRACE).await.unwrap();
    }
    let mut present = 3;
    for (turn, rel) in (4..).zip([&releases[0], &releases[1], &releases[2], &releases[0]]) {
        let (spec, ctx) = (&rel.spec, b.context());
        let endpoint = executor.start(spec, &ctx).await.unwrap();
        executor.verify(spec, &endpoint, &ctx).await.unwrap();
        executor
            .switch(spec, Turn::new(turn, 1), &ctx)
            .await
            .unwrap();
        assert_eq!(executor.current(&app).await.unwrap(), Some(spec.number));
        b.assert_says(&endpoint, &app, spec.number).await;
        executor.retire(&app, present, GRACE).await.unwrap();
        present = spec.number;
    }
}

async fn a_new_instance_knows_what_is_present(b: Arc<Bench>) {
    let app = slug("app");
    for number in 1..=2 {
        b.go_live(&*b.executor().await, &app, number).await;
        assert_eq!(
            b.executor().await.current(&app).await.unwrap(),
            Some(number)
        );
    }
    assert_eq!(
        b.executor().await.current(&slug("unknown")).await.unwrap(),
        None
    );
}

async fn live_releases_come_up_again(b: Arc<Bench>) {
    let app = slug("app");
    let executor = b.executor().await;
    let (rel, _) = b.go_live(&*executor, &app, 1).await;
    drop(executor);
    let executor = b.executor().await;
    let first = executor.start(&rel.spec, &b.context()).await.unwrap();
    executor
        .verify(&rel.spec, &first, &b.context())
        .await
        .unwrap();
    b.assert_says(&first, &app, 1).await;
    drop(executor);
    let executor = b.executor().await;
    let second = executor.start(&rel.spec, &b.context()).await.unwrap();
    executor
        .verify(&rel.spec, &second, &b.context())
        .await
        .unwrap();
    b.assert_says(&second, &app, 1).await;
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
}
