use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, STEPS, slug};
use crate::error::{StepError, VerdictCode};
use crate::executor::Executor;
use crate::testing::suite::check_list;
use crate::value::Slug;

/// What still serves says so long before.
const SILENCE: Duration = Duration::from_secs(3);

check_list! { Arc<Bench>;
    a_project_that_is_removed_is_gone_and_no_other_is,
    a_removed_project_can_begin_anew,
    a_removal_takes_what_was_cut_off,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

async fn assert_gone(b: &Bench, executor: &dyn Executor, slug: &Slug, number: i64) {
    assert_eq!(executor.current(slug).await.unwrap(), None);
    let rel = b.release(slug, number).await;
    match executor.start(&rel.spec, &b.context()).await {
        Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::ReleaseGone => {}
        answer => panic!("release {number} must be gone, not {answer:?}"),
    }
}

async fn a_project_that_is_removed_is_gone_and_no_other_is(b: Arc<Bench>) {
    let (executor, app, other) = (b.executor().await, slug("app"), slug("app-2"));
    let (_, theirs) = b.go_live(&*executor, &other, 1).await;
    b.place(&*executor, &app, 1).await;
    let (_, live) = b.go_live(&*executor, &app, 2).await;
    for purge in [false, false, true] {
        executor.remove(&app, purge).await.unwrap();
        assert_gone(&b, &*executor, &app, 1).await;
        assert_gone(&b, &*executor, &app, 2).await;
    }
    // The address of something that is gone may be silent for a minute.
    let answer = tokio::time::timeout(SILENCE, b.harness.fetch(&live)).await;
    assert!(
        !matches!(answer, Ok(Ok(_))),
        "it must serve no longer: {answer:?}"
    );
    executor.remove(&slug("unknown"), true).await.unwrap();
    assert_eq!(executor.current(&other).await.unwrap(), Some(1));
    b.assert_says(&theirs, &other, 1).await;
}

/// Also by an executor that was made anew meanwhile, as after a crash.
async fn a_removed_project_can_begin_anew(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    for number in 1..=3 {
        b.go_live(&*executor, &app, number).await;
    }
    let executor = b.executor().await;
    executor.remove(&app, false).await.unwrap();
    // Its number, and its turn, are lower than those of the project before.
    let (_, live) = b.go_live(&*executor, &app, 1).await;
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
    b.assert_says(&live, &app, 1).await;
}

async fn a_removal_takes_what_was_cut_off(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    for steps in [1, STEPS - 1] {
        let rel = b.release(&app, 1).await;
        b.steps(&*executor, &rel, 1, steps).await.unwrap();
        b.executor().await.remove(&app, true).await.unwrap();
        assert_gone(&b, &*executor, &app, 1).await;
    }
}
