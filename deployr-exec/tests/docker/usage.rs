//! What a running release is said to use.

use crate::support::{Target, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_works_is_told_from_one_that_waits() {
    let target = Target::new();
    let usage = async |number| target.executor.usage(&target.slug, number).await.unwrap();
    target.live(1, "idle").await;
    let idle = usage(1).await;
    assert_eq!(idle.containers, 1);
    assert!(idle.processes >= 1 && idle.memory_bytes > 0, "{idle:?}");
    assert_eq!(idle.memory_limit_bytes, 2 << 30);
    assert!(idle.cpus < 0.1, "{idle:?}");

    let line = format!("(while :; do :; done) & {}", crate::support::SERVER);
    let files = target.files(&[("index.html", "busy")]);
    target.deploy(&spec(2, &line), &files, 2).await.unwrap();
    let busy = usage(2).await;
    // However many others there are on the machine, it has its share.
    assert!(
        busy.cpus > idle.cpus && busy.processes > idle.processes,
        "{busy:?}, {idle:?}"
    );
    assert_eq!(usage(9).await.containers, 0);
}
