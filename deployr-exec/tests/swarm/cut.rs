//! Steps that are cut off anywhere, and made again by somebody else.

use std::time::{Duration, Instant};

use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;

use crate::support::{SERVER, Target, cut, get, set, spec};

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
    let artifact = target.files(&[("index.html", "new")]);
    cut::stops_when_asked(&target.executor, &artifact).await;
    assert_eq!(target.services(), [target.service(1)]);
    assert_eq!(get(live).await.as_deref(), Ok("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_end_with_the_newest() {
    let target = Target::new();
    target.live(1, "old").await;
    let [two, three] = ["two", "three"].map(|text| target.files(&[("index.html", text)]));
    let (slow, fast) = (target.restarted(), target.restarted());
    cut::the_newest_wins([&slow, &fast], [&two, &three]).await;
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
    // Its service with its secret, and its image.
    assert_eq!(target.restarted().remove_stale().await.unwrap(), 2);
    assert_eq!(target.restarted().remove_stale().await.unwrap(), 0);
    assert_eq!(target.services(), [target.service(1)]);
    assert!(target.secrets().is_empty());
    assert_eq!(get(live).await.as_deref(), Ok("old"));
}
