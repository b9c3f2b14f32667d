//! Steps that are cut off anywhere, and made again by somebody else.

use std::time::{Duration, Instant};

use deployr_core::error::StepError;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;

use crate::support::{SERVER, Target, deploy, get, set, spec};

/// The death of a process, as far as the engine can tell: a request is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_cut_off_anywhere_is_made_again() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    for (number, cut) in (2..).zip([1, 25, 80, 150, 250, 400, 700, 1_200]) {
        let mut app = spec(number, SERVER);
        set(&mut app, "TOKEN", "x");
        set(&mut app, "TOKEN_FILE", "/run/secrets/TOKEN");
        let artifact = target.files(&[("index.html", "new")]);
        let dead = target.restarted();
        let work = async {
            let step = RecordedStep::new();
            dead.prepare(&app, &artifact, &step.ctx).await?;
            let endpoint = dead.start(&app, &step.ctx).await?;
            dead.verify(&app, &endpoint, &step.ctx).await
        };
        let _ = tokio::time::timeout(Duration::from_millis(cut), work).await;
        assert_eq!(get(live).await.as_deref(), Ok("old"), "cut after {cut} ms");

        // The next attempt removes what there is. A request that was on its way when it was cut
        // off may be carried out a moment later.
        let next = target.restarted();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            next.discard(&target.slug, number).await.unwrap();
            let left = (target.services(), target.secrets());
            if left == (vec![target.service(1)], vec![]) && target.containers().len() == 1 {
                break;
            }
            assert!(Instant::now() < deadline, "cut after {cut} ms: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let (_, again) = target.live(99, "new").await;
    assert_eq!(get(again).await.as_deref(), Ok("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_stops_when_it_is_asked_to() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let app = spec(2, SERVER);
    let artifact = target.files(&[("index.html", "new")]);
    let executor = &target.executor;
    let step = RecordedStep::new();
    step.ctx.cancel.cancel();
    let stopped = executor.prepare(&app, &artifact, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    let on = RecordedStep::new();
    executor.prepare(&app, &artifact, &on.ctx).await.unwrap();
    let stopped = executor.start(&app, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    let endpoint = executor.start(&app, &on.ctx).await.unwrap();
    let stopped = executor.verify(&app, &endpoint, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    let turn = Turn::new(2, 1);
    let stopped = executor.switch(&app, turn, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    executor.discard(&target.slug, 2).await.unwrap();
    assert_eq!(target.services(), [target.service(1)]);
    assert_eq!(get(live).await.as_deref(), Ok("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_end_with_the_newest() {
    let target = Target::new();
    target.live(1, "old").await;
    let (slow, fast) = (spec(2, SERVER), spec(3, SERVER));
    let two = target.files(&[("index.html", "two")]);
    let three = target.files(&[("index.html", "three")]);
    let (first, second) = (target.restarted(), target.restarted());
    let (_, at) = tokio::join!(
        deploy(&first, &slow, &two, 2),
        deploy(&second, &fast, &three, 3)
    );
    let current = target.executor.current(&target.slug).await;
    assert_eq!(current.unwrap(), Some(3));
    assert_eq!(get(at.unwrap()).await.as_deref(), Ok("three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_deployr_left_is_found() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let mut app = spec(8, SERVER);
    set(&mut app, "TOKEN", "x");
    set(&mut app, "TOKEN_FILE", "/run/secrets/TOKEN");
    let step = RecordedStep::new();
    let artifact = target.files(&[("index.html", "x")]);
    let executor = &target.executor;
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();
    executor.start(&app, &step.ctx).await.unwrap();
    target.forget(8);
    // Its service with its secret, and its image; its task may not have got as far.
    assert!(target.restarted().remove_stale().await.unwrap() >= 2);
    assert_eq!(target.restarted().remove_stale().await.unwrap(), 0);
    assert_eq!(target.services(), [target.service(1)]);
    assert!(target.secrets().is_empty());
    assert_eq!(get(live).await.as_deref(), Ok("old"));
}
