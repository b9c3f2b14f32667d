use std::fs;
use std::os::unix::fs::symlink;

use deployr_core::builder::{Builder, Workspace};
use deployr_core::error::StepError;

use crate::support::{Bed, put};

#[tokio::test]
async fn an_attempt_finds_nothing_of_the_earlier_ones() {
    let mut bed = Bed::new();
    let first = bed.workspace().await;
    put(&first.checkout.join("left"), "x");
    let again = bed.workspace().await;
    assert_eq!(again, first);
    assert_eq!(fs::read_dir(&again.checkout).unwrap().count(), 0);

    bed.ctx.attempt = 2;
    let second = bed.workspace().await;
    assert_ne!(second, first);
    assert!(!first.path.exists() && second.checkout.exists());

    // The one that has lost its claim does not harm the one that has it.
    bed.ctx.attempt = 1;
    bed.workspace().await;
    assert!(second.checkout.exists());
}

#[tokio::test]
async fn clean_removes_everything_and_follows_no_link() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    let outside = bed.data.path().join("outside");
    put(&outside.join("kept"), "x");
    symlink(&outside, workspace.checkout.join("link")).unwrap();
    let line = "mkdir -p out/a/b; touch out/a/b/c; chmod 000 out/a/b; chmod 500 out/a";
    let spec = bed.spec(&workspace, &[line]);
    let _ = bed.builder.build(&spec, &bed.ctx).await;
    bed.builder.clean(&workspace).await.unwrap();
    assert!(!workspace.path.exists());
    assert!(outside.join("kept").exists());
    bed.builder.clean(&workspace).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_the_builders_is_never_removed() {
    let bed = Bed::new();
    bed.workspace().await;
    let other = bed.data.path().join("other");
    put(&other.join("kept"), "x");
    let foreign = Workspace {
        checkout: other.join("checkout"),
        path: other.clone(),
    };
    assert!(matches!(
        bed.builder.clean(&foreign).await,
        Err(StepError::Fault(_))
    ));
    assert!(other.join("kept").exists());
}

#[tokio::test]
async fn only_workspaces_that_nobody_uses_are_stale() {
    let bed = Bed::new();
    assert_eq!(
        bed.builder.remove_stale().await.unwrap(),
        0,
        "before there is any"
    );
    let used = bed.workspace().await;
    put(&bed.root().join("work/dep_of_the_dead-3/checkout/x"), "x");
    put(&bed.root().join("lock/dep_of_the_dead-4"), "");
    assert_eq!(bed.builder.remove_stale().await.unwrap(), 1);
    assert_eq!(fs::read_dir(bed.root().join("lock")).unwrap().count(), 1);
    assert!(used.checkout.exists());
    assert!(!bed.root().join("work/dep_of_the_dead-3").exists());
    bed.builder.clean(&used).await.unwrap();
    assert_eq!(fs::read_dir(bed.root().join("lock")).unwrap().count(), 0);
}
