//! The local executor: releases as folders.
#![cfg(feature = "local-executor")]

mod executor_support;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::model::Turn;
use deployr_core::value::{HealthDeadline, RelPath};
use deployr_exec::local::run::LocalExecutor;
use executor_support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_is_deployed_switched_and_rolled_back() {
    let host = Host::new();
    for number in [1, 2] {
        let spec = host.site(number);
        let artifact = host.files(&[("index.html", &format!("v{number}"))]);
        let Endpoint::Folder {
            path,
            single_page: false,
        } = host.deploy(&spec, &artifact, number).await.unwrap()
        else {
            panic!("not a folder")
        };
        assert_eq!(
            fs::read_to_string(path.join("index.html")).unwrap(),
            format!("v{number}")
        );
        assert_eq!(
            host.executor.current(&host.slug).await.unwrap(),
            Some(number)
        );
        assert_eq!(host.read("current/index.html"), format!("v{number}"));
    }
    let link = fs::read_link(host.path("current")).unwrap();
    assert_eq!(link, Path::new("releases/2"), "relative");

    let ctx = context();
    let old = host.site(1);
    let endpoint = host.executor.start(&old, &ctx).await.unwrap();
    host.executor.verify(&old, &endpoint, &ctx).await.unwrap();
    host.executor
        .switch(&old, Turn::new(3, 1), &ctx)
        .await
        .unwrap();
    assert_eq!(host.read("current/index.html"), "v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_without_the_health_path_is_unhealthy() {
    let host = Host::new();
    let mut spec = host.site(1);
    spec.recipe.health.deadline_ms = HealthDeadline::new(100).unwrap();
    let verdict = expect_verdict(host.deploy(&spec, &host.files(&[("a.txt", "")]), 1).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(
        verdict.message.contains("index.html"),
        "{}",
        verdict.message
    );
    assert_eq!(host.executor.current(&host.slug).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_said_to_be_gone() {
    let host = Host::new();
    let (spec, ctx) = (host.site(1), context());
    let verdict = expect_verdict(host.executor.start(&spec, &ctx).await);
    assert_eq!(verdict.code, VerdictCode::ReleaseGone);
    let artifact = host.files(&[]);
    fs::remove_dir_all(host.folder(&artifact)).unwrap();
    let gone = host.executor.prepare(&spec, &artifact, &ctx).await;
    assert!(matches!(gone, Err(StepError::Fault(fault)) if fault.retryable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_leaves_what_others_have_made_in_the_projects_folder() {
    let host = Host::new();
    let page = host.files(&[("index.html", "")]);
    host.deploy(&host.site(1), &page, 1).await.unwrap();
    fs::create_dir(host.path("html")).unwrap();
    for file in [".env", "html/index.html"] {
        fs::write(host.path(file), "theirs").unwrap();
    }
    for _ in 0..2 {
        host.executor.remove(&host.slug, true).await.unwrap();
        assert_eq!(host.read(".env"), "theirs");
        assert_eq!(host.read("html/index.html"), "theirs");
        assert_eq!(fs::read_dir(host.path("")).unwrap().count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_turn_is_refused() {
    let host = Host::new();
    let ctx = context();
    for number in [1, 2] {
        let page = host.files(&[("index.html", "")]);
        host.executor
            .prepare(&host.site(number), &page, &ctx)
            .await
            .unwrap();
    }
    host.executor
        .switch(&host.site(2), Turn::new(9, 2), &ctx)
        .await
        .unwrap();
    host.executor
        .switch(&host.site(2), Turn::new(9, 2), &ctx)
        .await
        .unwrap();
    let refused = LocalExecutor::new(host.root())
        .switch(&host.site(1), Turn::new(9, 1), &ctx)
        .await;
    assert!(matches!(refused, Err(StepError::Fault(fault)) if !fault.retryable));
    assert_eq!(host.executor.current(&host.slug).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_current_that_is_a_folder_is_left_alone() {
    let host = Host::new();
    fs::create_dir_all(host.path("current")).unwrap();
    let refused = host
        .deploy(&host.site(1), &host.files(&[("index.html", "")]), 1)
        .await;
    assert!(matches!(refused, Err(StepError::Fault(fault)) if !fault.retryable));
    assert!(host.path("current").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_keeps_the_present_release() {
    let host = Host::new();
    let ctx = context();
    for number in 1..=4 {
        let page = host.files(&[("index.html", "")]);
        host.executor
            .prepare(&host.site(number), &page, &ctx)
            .await
            .unwrap();
    }
    host.executor
        .switch(&host.site(1), Turn::new(1, 1), &ctx)
        .await
        .unwrap();
    fs::create_dir_all(host.path("releases/.2.1.tmp/half")).unwrap();
    assert_eq!(host.executor.prune(&host.slug, &[3]).await.unwrap(), [2]);
    assert_eq!(
        host.executor.prune(&host.slug, &[3]).await.unwrap(),
        [0i64; 0]
    );
    let left: HashSet<_> = fs::read_dir(host.path("releases"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, HashSet::from(["1", "3", "4"].map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_always_finds_a_whole_release() {
    let host = Host::new();
    host.deploy(&host.site(1), &host.files(&[("index.html", "whole")]), 1)
        .await
        .unwrap();
    static DONE: AtomicBool = AtomicBool::new(false);
    let index = host.path("current/index.html");
    let reader = std::thread::spawn(move || {
        let mut reads = 0;
        while !DONE.load(Ordering::Relaxed) {
            assert_eq!(fs::read_to_string(&index).unwrap(), "whole");
            reads += 1;
        }
        reads
    });
    for number in 2..=30 {
        let artifact = host.files(&[("index.html", "whole")]);
        host.deploy(&host.site(number), &artifact, number)
            .await
            .unwrap();
        host.executor
            .prune(&host.slug, &[number - 1])
            .await
            .unwrap();
    }
    DONE.store(true, Ordering::Relaxed);
    eprintln!("{} reads during 29 deployments", reader.join().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_folders_and_files_persist() {
    let host = Host::new();
    let shared = ["storage", "data/app.sqlite", ".env", "storage/logs"];
    for number in [1, 2] {
        let mut spec = host.site(number);
        spec.recipe.shared = shared.map(|path| RelPath::parse(path).unwrap()).to_vec();
        let files = [
            ("index.html", ""),
            ("storage/seed", &format!("of {number}")),
        ];
        host.deploy(&spec, &host.files(&files), number)
            .await
            .unwrap();
        if number == 1 {
            fs::write(host.path("current/storage/upload"), "kept").unwrap();
            fs::write(host.path("current/data/app.sqlite"), "rows").unwrap();
        }
    }
    assert_eq!(host.read("current/storage/seed"), "of 1");
    assert_eq!(host.read("current/storage/upload"), "kept");
    assert_eq!(host.read("current/data/app.sqlite"), "rows");
    assert_eq!(host.read("current/.env"), "");
    let mode = fs::metadata(host.path("shared/.env")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600, "for passwords");
    let link = fs::read_link(host.path("releases/2/data/app.sqlite")).unwrap();
    assert_eq!(link, Path::new("../../../shared/data/app.sqlite"));
    host.executor.prune(&host.slug, &[]).await.unwrap();
    assert_eq!(
        host.read("shared/storage/upload"),
        "kept",
        "pruning follows no link"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_path_through_a_link_is_refused() {
    let host = Host::new();
    let outside = tempfile::tempdir().unwrap();
    let artifact = host.files(&[("index.html", "")]);
    std::os::unix::fs::symlink(outside.path(), host.folder(&artifact).join("data")).unwrap();
    let mut spec = host.site(1);
    spec.recipe.shared = vec![RelPath::parse("data/x").unwrap()];
    let refused = host.executor.prepare(&spec, &artifact, &context()).await;
    assert!(matches!(refused, Err(StepError::Fault(fault)) if !fault.retryable));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_on_another_file_system_is_copied() {
    let (elsewhere, host) = (tempfile::tempdir_in("/dev/shm").unwrap(), Host::new());
    let disk = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(disk(elsewhere.path()), disk(host.root().parent().unwrap()));
    fs::write(elsewhere.path().join("index.html"), "copied").unwrap();
    host.deploy(&host.site(1), &folder(elsewhere.path()), 1)
        .await
        .unwrap();
    assert_eq!(host.read("current/index.html"), "copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_says_what_would_be_done() {
    let host = Host::new();
    let mut spec = host.app(1, "run()");
    spec.recipe.shared = vec![RelPath::parse("storage").unwrap()];
    let base = host.path("").display().to_string();
    let base = base.trim_end_matches('/');
    let plan = host.executor.plan(&host.slug, &spec.recipe);
    let lines: Vec<String> = plan.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            format!("place the release as {base}/releases/<number>"),
            format!("link storage in it to {base}/shared/storage"),
            "start it on a free port of 127.0.0.1, told by PORT: \
             /bin/sh -c 'node -e \"run()\"'"
                .to_owned(),
            "ask for / until it is healthy, at most 30000 ms".to_owned(),
            format!("let {base}/current lead to it"),
            "stop the process of the release before".to_owned(),
        ]
    );
    assert!(!host.root().exists(), "nothing was done");
}
