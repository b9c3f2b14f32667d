//! Steps that are cut off anywhere, and made again by somebody else.

use std::time::{Duration, Instant};

use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;

use crate::support::{SERVER, Target, cut, get, spec};

/// The death of a process, as far as the engine can tell: a request is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_cut_off_anywhere_is_made_again() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let files = || target.files(&[("index.html", "new"), ("big", &"x".repeat(1 << 20))]);
    for (number, cut) in (2..).zip([1, 5, 12, 25, 50, 80, 120, 180, 250, 350]) {
        let app = spec(number, SERVER);
        let dead = target.restarted();
        let artifact = files();
        let work = async {
            let step = RecordedStep::new();
            dead.prepare(&app, &artifact, &step.ctx).await?;
            let endpoint = dead.start(&app, &step.ctx).await?;
            dead.verify(&app, &endpoint, &step.ctx).await
        };
        let _ = tokio::time::timeout(Duration::from_millis(cut), work).await;
        assert_eq!(get(live).await.as_deref(), Ok("old"), "cut after {cut} ms");

        // The next attempt removes what there is, and builds and places again.
        let next = target.restarted();
        // A request that was on its way when it was cut off may be carried out a moment later.
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            next.discard(&target.slug, number).await.unwrap();
            let left = target.containers();
            if left == [target.container(1)] {
                break;
            }
            assert!(Instant::now() < deadline, "cut after {cut} ms: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let step = RecordedStep::new();
        next.prepare(&app, &files(), &step.ctx).await.unwrap();
        let endpoint = next.start(&app, &step.ctx).await.unwrap();
        next.verify(&app, &endpoint, &step.ctx).await.unwrap();
        next.discard(&target.slug, number).await.unwrap();
    }
    assert_eq!(
        target.executor.current(&target.slug).await.unwrap(),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_stops_when_it_is_asked_to() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let artifact = target.files(&[("index.html", "new")]);
    cut::stops_when_asked(&target.executor, &artifact).await;
    assert_eq!(target.containers(), [target.container(1)]);
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
    // An image and a container without a folder: cut off in the midst of its removal.
    target.docker(&["tag", &target.image(1), &target.image(7)]);
    let (spec, artifact) = (spec(8, SERVER), target.files(&[("index.html", "x")]));
    let step = RecordedStep::new();
    target
        .executor
        .prepare(&spec, &artifact, &step.ctx)
        .await
        .unwrap();
    target.executor.start(&spec, &step.ctx).await.unwrap();
    target.forget(8);
    assert_eq!(target.restarted().remove_stale().await.unwrap(), 3);
    assert_eq!(target.restarted().remove_stale().await.unwrap(), 0);
    assert_eq!(target.containers(), [target.container(1)]);
    assert_eq!(get(live).await.as_deref(), Ok("old"));
}
