//! What could go from the disk, and what never does.

use std::fs;

use deployr_core::builder::Builder;
use deployr_core::executor::Executor;
use deployr_exec::docker::{Left, Leftover};

use crate::builds::Bench;
use crate::support::Target;

fn images(left: &[Left]) -> Vec<String> {
    let names = left.iter().filter_map(|left| match &left.what {
        Leftover::Image { names, .. } => Some(names.clone()),
        _ => None,
    });
    names.flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_images_of_no_release_go_and_only_when_they_are_asked_to() {
    let (target, other) = (Target::new(), Target::new());
    let executor = &target.executor;
    for number in 1..=4 {
        target.live(number, &number.to_string()).await;
    }
    executor.prune(&target.slug, &[2, 3, 4]).await.unwrap();
    other.live(1, "somebody else's").await;
    // Of no release any more; of one that is being placed; and one that somebody has named too.
    target.docker(&["tag", &target.image(3), &target.image(1)]);
    let lost = target.docker(&[
        "commit",
        "--change",
        "ENV lost=1",
        &target.container(4),
        &target.image(1),
    ]);
    let named = target.docker(&[
        "commit",
        "--change",
        "ENV named=1",
        &target.container(4),
        "mine:1",
    ]);
    target.docker(&["tag", &named, &target.image(0)]);
    target.docker(&[
        "commit",
        "--change",
        "ENV next=1",
        &target.container(4),
        &target.image(5),
    ]);

    let found = executor.disk_use().await.unwrap();
    assert_eq!(images(&found.left), [target.image(1)], "{found:?}");
    assert!(found.bytes > 0 && found.beyond(found.bytes).is_empty());
    let there = |id: &str| {
        target
            .docker(&["images", "--all", "--quiet", "--no-trunc"])
            .contains(id)
    };
    assert!(there(&lost), "a list changes nothing");
    assert_eq!(other.executor.clean_up(&found.left).await.unwrap(), []);
    assert!(there(&lost), "nor does another deployr");

    let gone = executor.clean_up(&found.beyond(0)).await.unwrap();
    assert_eq!(images(&gone), [target.image(1)]);
    assert!(!there(&lost) && there(&named));
    for number in 2..=5 {
        target.docker(&["inspect", &target.image(number)]);
    }
    assert_eq!(executor.disk_use().await.unwrap().left, []);
    other.docker(&["inspect", &other.image(1)]);
    target.docker(&["rmi", "mine:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_of_builds_go_but_not_while_there_is_one() {
    let bench = Bench::new();
    let build = bench
        .spec(&[], Some("mkdir out; echo kept >/cache/file; touch out/a"))
        .await;
    bench.build(&build).await.unwrap();
    let during = bench.builder.disk_use().await.unwrap();
    assert!(during.left.is_empty(), "{during:?}");
    bench.builder.clean(&build.workspace).await.unwrap();

    let after = bench.builder.disk_use().await.unwrap();
    let [cache] = after.left.as_slice() else {
        panic!("{after:?}")
    };
    let project = build.project.to_string();
    assert_eq!(
        cache.what,
        Leftover::Cache {
            project: project.clone()
        }
    );
    let folder = bench.root.path().join("cache").join(project);
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "kept\n");
    assert_eq!(
        bench.builder.clean_up(&after.left).await.unwrap(),
        after.left
    );
    assert!(!folder.exists());
}
