//! A project goes from a host.

use std::fs;
use std::path::{Path, PathBuf};

use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_testkit::told;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_stays_unless_it_is_purged_and_nothing_runs_on() {
    let lab = Lab::new();
    let slug = site(1).slug;
    let mut spec = app(1, SERVER);
    spec.recipe.shared = paths(&["uploads"]);
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&spec, &artifact).await.unwrap();
    fs::write(lab.path("shared/uploads/a"), "by the app").unwrap();
    let running = || !lab.sshd.processes().is_empty();
    assert!(running());

    lab.executor.remove(&slug, false).await.unwrap();
    eventually("nothing runs", || !running()).await;
    let left: Vec<_> = fs::read_dir(lab.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(lab.read("shared/uploads/a"), "by the app");
    // The next project of that name begins with its first turn, and finds it.
    lab.deploy(&spec, &artifact).await.unwrap();
    assert_eq!(lab.read("current/uploads/a"), "by the app");
    lab.executor.remove(&slug, true).await.unwrap();
    assert!(!lab.path("").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_deployr_has_not_made_is_left_alone() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    fs::remove_file(lab.path("current")).unwrap();
    fs::create_dir(lab.path("current")).unwrap();
    let fault = expect_fault(lab.executor.remove(&site(1).slug, true).await);
    assert!(!fault.retryable);
    assert!(fault.to_string().contains("move it away"), "{fault}");
    assert!(lab.path("releases").exists());
    fs::remove_dir(lab.path("current")).unwrap();
    let (spec, ctx) = (site(1), context());
    let switched = lab.executor.switch(&spec, Turn::new(2, 1), &ctx);
    switched.await.unwrap();
    lab.executor.remove(&site(1).slug, true).await.unwrap();
    assert!(!lab.path("").exists());
}

/// An operator's own site in the folder that a project of its name has on the host.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_made_in_the_projects_folder_stays_and_is_told() {
    let lab = Lab::new();
    let slug = site(1).slug;
    let theirs = [
        ".env",
        "html/index.html",
        "dump 1.sql",
        "releases/20240101/app.php",
        "run/php.sock",
    ];
    for file in theirs {
        let file = lab.path(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "theirs").unwrap();
    }
    std::os::unix::fs::symlink("releases/20240101", lab.path("current")).unwrap();
    let expect_theirs = || theirs.map(|file| assert_eq!(lab.read(file), "theirs", "{file}"));
    // Nothing was ever placed, as for a project that never got past its build.
    lab.executor.remove(&slug, true).await.unwrap();
    expect_theirs();
    assert_eq!(lab.read("current/app.php"), "theirs");

    fs::remove_file(lab.path("current")).unwrap();
    let mut spec = app(1, SERVER);
    spec.recipe.shared = paths(&["uploads"]);
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&spec, &artifact).await.unwrap();
    told::listen();
    for _ in 0..2 {
        lab.executor.remove(&slug, true).await.unwrap();
        expect_theirs();
        let all = walk(&lab.path(""));
        assert_eq!(all.len(), theirs.len(), "{all:?}");
    }
    let said = told::said();
    assert!(
        said.contains("sites/shop") && said.contains("\"dump 1.sql\""),
        "{said}"
    );
    lab.deploy(&spec, &artifact).await.unwrap();
}

/// All that is below a folder but folders.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path()),
            false => vec![entry.path()],
        })
        .collect()
}
