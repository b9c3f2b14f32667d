use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, GRACE, Rel, STEPS, slug};
use crate::error::{StepError, VerdictCode};
use crate::model::Turn;
use crate::testing::suite::check_list;
use crate::value::{HealthDeadline, HealthPath};

check_list! { Arc<Bench>;
    a_release_goes_live,
    the_old_release_serves_until_the_switch,
    each_step_may_be_made_twice,
    a_crash_between_any_two_steps_is_survived,
    a_failed_verify_leaves_the_old_release,
    verify_stops_when_it_is_asked_to,
    a_release_that_is_not_placed_does_not_start,
    projects_do_not_touch_each_other,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

async fn a_release_goes_live(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    assert_eq!(executor.current(&app).await.unwrap(), None);
    let (_, endpoint) = b.go_live(&*executor, &app, 1).await;
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
    b.assert_says(&endpoint, &app, 1).await;
}

async fn the_old_release_serves_until_the_switch(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    let (_, old) = b.go_live(&*executor, &app, 1).await;
    let new = b.release(&app, 2).await;
    let side_by_side = executor.capabilities().side_by_side;
    for steps in 1..STEPS {
        b.steps(&*executor, &new, 2, steps).await.unwrap();
        assert_eq!(
            executor.current(&app).await.unwrap(),
            Some(1),
            "after {steps} steps"
        );
        if side_by_side {
            b.assert_says(&old, &app, 1).await;
        }
    }
    let endpoint = b.steps(&*executor, &new, 2, STEPS).await.unwrap().unwrap();
    assert_eq!(executor.current(&app).await.unwrap(), Some(2));
    b.assert_says(&endpoint, &app, 2).await;
    if side_by_side {
        // Requests that had begun may still be on their way to it.
        b.assert_says(&old, &app, 1).await;
    }
}

async fn each_step_may_be_made_twice(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    b.go_live(&*executor, &app, 1).await;
    let Rel { spec, site } = b.release(&app, 2).await;
    for _ in 0..2 {
        executor
            .prepare(&spec, &site.artifact, &b.context())
            .await
            .unwrap();
    }
    let first = executor.start(&spec, &b.context()).await.unwrap();
    let second = executor.start(&spec, &b.context()).await.unwrap();
    assert_eq!(first, second, "what is up stays where it is");
    for _ in 0..2 {
        executor.verify(&spec, &first, &b.context()).await.unwrap();
    }
    for _ in 0..2 {
        executor
            .switch(&spec, Turn::new(2, 1), &b.context())
            .await
            .unwrap();
        assert_eq!(executor.current(&app).await.unwrap(), Some(2));
        b.assert_says(&first, &app, 2).await;
    }
    for _ in 0..2 {
        executor.retire(&app, 1, GRACE).await.unwrap();
    }
    executor.prune(&app, &[]).await.unwrap();
    assert!(
        executor.prune(&app, &[]).await.unwrap().is_empty(),
        "nothing is left to prune"
    );
    b.assert_says(&first, &app, 2).await;
}

async fn a_crash_between_any_two_steps_is_survived(b: Arc<Bench>) {
    for cut in 0..=STEPS {
        let name = slug(&format!("app{cut}"));
        let dead = b.executor().await;
        let (_, old) = b.go_live(&*dead, &name, 1).await;
        let new = b.release(&name, 2).await;
        b.steps(&*dead, &new, 2, cut).await.unwrap();
        drop(dead);

        let executor = b.executor().await;
        let present = if cut == STEPS { 2 } else { 1 };
        assert_eq!(
            executor.current(&name).await.unwrap(),
            Some(present),
            "cut after {cut}"
        );
        if executor.capabilities().side_by_side {
            b.assert_says(&old, &name, 1).await;
        }
        let endpoint = b.steps(&*executor, &new, 2, STEPS).await.unwrap().unwrap();
        assert_eq!(
            executor.current(&name).await.unwrap(),
            Some(2),
            "cut after {cut}"
        );
        b.assert_says(&endpoint, &name, 2).await;
        executor.retire(&name, 1, GRACE).await.unwrap();
        assert_eq!(
            executor.prune(&name, &[]).await.unwrap(),
            [1],
            "cut after {cut}"
        );
    }
}

/// A release that starts, and never becomes healthy.
async fn unhealthy(b: &Bench, number: i64, deadline: Duration) -> Rel {
    let mut rel = b.release(&slug("app"), number).await;
    let health = &mut rel.spec.recipe.health;
    health.path = HealthPath::parse("/not-there").unwrap();
    health.deadline_ms = HealthDeadline::new(deadline.as_millis() as u64).unwrap();
    rel
}

async fn a_failed_verify_leaves_the_old_release(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    if !executor.capabilities().verifies {
        return;
    }
    let (_, old) = b.go_live(&*executor, &app, 1).await;
    let bad = unhealthy(&b, 2, Duration::from_millis(500)).await;
    match b.steps(&*executor, &bad, 2, STEPS).await {
        Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::Unhealthy => {}
        answer => panic!("a release that answers 404 must be unhealthy, not {answer:?}"),
    }
    for _ in 0..2 {
        executor.discard(&app, 2).await.unwrap();
    }
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
    b.assert_says(&old, &app, 1).await;
    let (_, next) = b.go_live(&*executor, &app, 3).await;
    b.assert_says(&next, &app, 3).await;
}

async fn verify_stops_when_it_is_asked_to(b: Arc<Bench>) {
    let executor = b.executor().await;
    if !executor.capabilities().verifies {
        return;
    }
    let bad = unhealthy(&b, 1, Duration::from_secs(600)).await;
    let endpoint = b.steps(&*executor, &bad, 1, 2).await.unwrap().unwrap();
    let ctx = b.context();
    let cancel = ctx.cancel.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    };
    let verify = executor.verify(&bad.spec, &endpoint, &ctx);
    let both = futures::future::join(verify, stop);
    let answer = tokio::time::timeout(Duration::from_secs(10), both).await;
    let answer = answer.expect("verify watches its context").0;
    assert!(matches!(answer, Err(StepError::Stopped)), "not {answer:?}");
}

async fn a_release_that_is_not_placed_does_not_start(b: Arc<Bench>) {
    let (executor, app) = (b.executor().await, slug("app"));
    b.go_live(&*executor, &app, 1).await;
    let never = b.release(&app, 2).await;
    match executor.start(&never.spec, &b.context()).await {
        Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::ReleaseGone => {}
        answer => panic!("it must be told to be gone, not {answer:?}"),
    }
    assert_eq!(executor.current(&app).await.unwrap(), Some(1));
}

async fn projects_do_not_touch_each_other(b: Arc<Bench>) {
    let executor = b.executor().await;
    let (one, two) = (slug("one"), slug("one-more"));
    let ((_, first), (_, second)) = tokio::join!(
        b.go_live(&*executor, &one, 1),
        b.go_live(&*executor, &two, 1)
    );
    b.assert_says(&first, &one, 1).await;
    b.assert_says(&second, &two, 1).await;
    let (_, newer) = b.go_live(&*executor, &one, 2).await;
    executor.retire(&one, 1, GRACE).await.unwrap();
    executor.prune(&one, &[]).await.unwrap();
    assert_eq!(executor.current(&two).await.unwrap(), Some(1));
    b.assert_says(&newer, &one, 2).await;
    b.assert_says(&second, &two, 1).await;
}
