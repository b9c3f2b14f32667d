use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;

use super::bench::{Bench, put};
use crate::builder::Workspace;
use crate::testing::RecordedStep;
use crate::testing::suite::check_list;

check_list! { Arc<Bench>;
    prepare_gives_an_empty_workspace,
    prepare_takes_away_what_an_earlier_attempt_left,
    the_same_attempt_may_be_prepared_again,
    deployments_have_workspaces_of_their_own,
    clean_takes_all_away_and_may_be_called_twice,
    a_project_that_is_forgotten_can_be_built_again,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

#[track_caller]
fn assert_empty(workspace: &Workspace) {
    let Workspace { path, checkout } = workspace;
    assert!(checkout.starts_with(path), "{workspace:?}");
    let left = fs::read_dir(checkout).unwrap().count();
    assert_eq!(left, 0, "the checkout is a folder with nothing in it");
}

/// Leaves what builds leave: files, and folders that may not be written to.
fn litter(b: &Bench, folder: &Path) {
    put(folder, "index.html", "old");
    put(folder, "modules/closed/file", "old");
    if b.harness.runs_commands() {
        let closed = folder.join("modules/closed");
        let mut permissions = fs::metadata(&closed).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(closed, permissions).unwrap();
    }
}

async fn prepare_gives_an_empty_workspace(b: Arc<Bench>) {
    let workspace = b.prepare(&RecordedStep::new()).await;
    assert_empty(&workspace);
    put(&workspace.checkout, "index.html", "it can be written to");
}

async fn prepare_takes_away_what_an_earlier_attempt_left(b: Arc<Bench>) {
    let (first, other) = (RecordedStep::new(), RecordedStep::new());
    let mut left = Vec::new();
    let others = b.prepare(&other).await;
    put(&others.checkout, "index.html", "of another deployment");
    for step in [&first, &first.next_attempt()] {
        let workspace = b.prepare(step).await;
        litter(&b, &workspace.checkout);
        left.push(workspace.path);
    }
    // By an engine that knows nothing of it.
    let restarted = Bench::new(Arc::clone(&b.harness)).await;
    let third = first.next_attempt().next_attempt();
    let workspace = restarted.prepare(&third).await;
    assert_empty(&workspace);
    for path in left.iter().filter(|path| **path != workspace.path) {
        assert!(!path.exists(), "{} is left", path.display());
    }
    let text = fs::read_to_string(others.checkout.join("index.html"));
    assert_eq!(text.unwrap(), "of another deployment");
}

async fn the_same_attempt_may_be_prepared_again(b: Arc<Bench>) {
    let step = RecordedStep::new();
    for _ in 0..3 {
        let workspace = b.prepare(&step).await;
        assert_empty(&workspace);
        litter(&b, &workspace.checkout);
    }
}

async fn deployments_have_workspaces_of_their_own(b: Arc<Bench>) {
    let tasks = (0..8).map(|n: usize| {
        let b = Arc::clone(&b);
        tokio::spawn(async move {
            let workspace = b.prepare(&RecordedStep::new()).await;
            assert_empty(&workspace);
            put(&workspace.checkout, "n", &n.to_string());
            workspace
        })
    });
    let mut open = Vec::new();
    for (n, workspace) in join_all(tasks).await.into_iter().enumerate() {
        let workspace = workspace.unwrap();
        let text = fs::read_to_string(workspace.checkout.join("n"));
        assert_eq!(text.unwrap(), n.to_string());
        open.push(workspace);
    }
    b.clean(&open[0]).await;
    assert!(open[1..].iter().all(|other| other.checkout.exists()));
}

async fn clean_takes_all_away_and_may_be_called_twice(b: Arc<Bench>) {
    let step = RecordedStep::new();
    let workspace = b.prepare(&step).await;
    litter(&b, &workspace.checkout);
    for _ in 0..2 {
        b.clean(&workspace).await;
        assert!(!workspace.path.exists(), "{workspace:?}");
    }
    let restarted = Bench::new(Arc::clone(&b.harness)).await;
    restarted.clean(&workspace).await;
    assert_empty(&b.prepare(&step.next_attempt()).await);
}

async fn a_project_that_is_forgotten_can_be_built_again(b: Arc<Bench>) {
    for _ in 0..2 {
        let job = b.job(&["mkdir out && echo hi >out/index.html"]).await;
        if b.harness.runs_commands() {
            b.run(&job).await.unwrap();
        }
        for _ in 0..2 {
            b.builder.forget(job.spec.project).await.unwrap();
        }
        b.clean(&job.spec.workspace).await;
    }
}
