//! A release goes live, takes over, and is gone back to.

use std::time::Duration;

use deployr_core::engine::{EngineError, ProjectRequest};
use deployr_core::error::{Fault, StepError, VerdictCode};
use deployr_core::model::{DeploymentStatus, Page, ReleaseState, Stage};
use deployr_core::store::JobQueue;
use deployr_core::value::{EnvName, EnvSet, EnvValue, GitUrl};

use crate::support::{Bench, commit, slug, worker};

#[tokio::test]
async fn a_commit_goes_live() {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = bench.ask(&engine, &project).await;
    let (lines, ended) = bench.follow(&engine, asked.id, 0).await;

    assert_eq!(ended.status, DeploymentStatus::Success);
    assert_eq!(ended.commit, Some(commit("a")));
    let stages: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("== "))
        .collect();
    assert_eq!(
        stages,
        ["checkout", "build", "release", "verify", "activate"],
        "{lines:#?}"
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    assert!(
        bench.builder.open_workspaces().is_empty(),
        "the workspace is gone"
    );

    let times = engine.stages(&bench.me, asked.id).await.unwrap();
    assert_eq!(times.first().unwrap().stage, Stage::Queued);
    assert!(
        times.iter().all(|stage| stage.ended_at.is_some()),
        "{times:?}"
    );
    let releases = engine
        .releases(&bench.me, project.id, Page::first(10))
        .await
        .unwrap();
    assert_eq!(releases.len(), 1);
    assert_eq!(releases[0].state, ReleaseState::Live);
    worker.drain(Duration::from_secs(5)).await;
    assert_eq!(bench.notifier.notices().len(), 1, "told once");
}

#[tokio::test]
async fn the_next_release_takes_over_and_the_first_is_kept_for_a_rollback() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    bench.source.set("main", commit("b"));
    assert_eq!(
        bench.deploy(&engine, &project).await.status,
        DeploymentStatus::Success
    );

    let target = bench.executor.target(&slug());
    assert_eq!(target.current, Some(2));
    assert!(!target.releases[&1].up, "the old one is stopped");
    let builds = bench.builder.script().count("build");

    let back = engine.rollback(&bench.me, project.id, None).await.unwrap();
    assert_eq!(
        bench.end_of(&engine, back.id).await.status,
        DeploymentStatus::Success
    );
    assert_eq!(bench.executor.target(&slug()).current, Some(1));
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
    assert_eq!(
        bench.builder.script().count("build"),
        builds,
        "a rollback builds nothing"
    );
    let states: Vec<_> = engine
        .releases(&bench.me, project.id, Page::first(10))
        .await
        .unwrap()
        .iter()
        .map(|release| (release.number, release.state))
        .collect();
    assert_eq!(states, [(2, ReleaseState::Kept), (1, ReleaseState::Live)]);
}

#[tokio::test]
async fn a_rollback_passes_over_a_release_that_was_rolled_back_from() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let back = async || {
        let back = engine.rollback(&bench.me, project.id, None).await?;
        bench.end_of(&engine, back.id).await;
        Ok::<_, EngineError>(bench.executor.target(&slug()).current)
    };
    bench.deploy(&engine, &project).await;
    bench.deploy(&engine, &project).await;
    assert_eq!(back().await.unwrap(), Some(1), "2 is bad");
    bench.deploy(&engine, &project).await;
    assert_eq!(bench.executor.target(&slug()).current, Some(3));
    assert_eq!(back().await.unwrap(), Some(1));
    let none = back().await.unwrap_err();
    assert!(
        matches!(none, EngineError::NoEarlierRelease { .. }),
        "{none}"
    );
}

#[tokio::test]
async fn followers_see_every_line_once_from_wherever_they_begin() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let project = bench.project(&engine).await;
    let asked = bench.ask(&engine, &project).await;
    let (live, _) = bench.follow(&engine, asked.id, 0).await;
    let (later, _) = bench.follow(&engine, asked.id, 0).await;
    let (rest, _) = bench.follow(&engine, asked.id, 3).await;
    assert!(live.len() > 5);
    assert_eq!(live, later);
    assert_eq!(live[3..], rest);
}

#[tokio::test]
async fn the_environment_reaches_the_release_and_no_log() {
    let bench = Bench::new();
    let engine = bench.engine();
    let _worker = worker(&engine);
    let url = GitUrl::parse("https://git.example.com/acme/blog.git").unwrap();
    let mut env = EnvSet::default();
    env.insert(
        EnvName::parse("TOKEN").unwrap(),
        EnvValue::parse("s3cret-v4lue").unwrap(),
    )
    .unwrap();
    let request = ProjectRequest::new("Blog", url).unwrap().env(env);
    let project = engine.create_project(&bench.me, request).await.unwrap();
    let error = StepError::verdict(VerdictCode::BuildFailed, "it printed s3cret-v4lue");
    bench.builder.script().fail_next("build", error);
    let asked = bench.ask(&engine, &project).await;
    let (lines, ended) = bench.follow(&engine, asked.id, 0).await;
    assert!(!lines.join("\n").contains("s3cret-v4lue"), "{lines:#?}");
    assert!(!format!("{ended:?}").contains("s3cret-v4lue"), "{ended:?}");
    assert_eq!(
        bench.deploy(&engine, &project).await.status,
        DeploymentStatus::Success
    );
    assert_eq!(
        engine.env_names(&bench.me, project.id).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn after_a_restart_live_releases_serve_again() {
    let bench = Bench::new();
    let engine = bench.engine();
    let worker = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    worker.drain(Duration::from_secs(5)).await;
    bench.ingress.forget();
    bench.executor.meddle(&slug(), |target| {
        target.releases.get_mut(&1).unwrap().up = false
    });

    let restored = bench.engine().restore().await.unwrap();
    assert_eq!((restored.serving, restored.failed.len()), (1, 0));
    assert!(bench.executor.target(&slug()).releases[&1].up);
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
}

#[tokio::test]
async fn what_is_away_at_a_restart_serves_once_it_is_back() {
    let bench = Bench::new();
    let engine = bench.engine();
    let first = worker(&engine);
    let project = bench.project(&engine).await;
    bench.deploy(&engine, &project).await;
    first.drain(Duration::from_secs(5)).await;
    let start = |bench: &Bench| bench.executor.script().count("start");
    // Three times for each of two restarts, and for the first two jobs that follow.
    for _ in 0..8 {
        let away = Fault::retryable("connecting", "the target", "it is away");
        bench.executor.script().fail_next("start", away.into());
    }
    let engine = bench.engine();
    for _ in 0..2 {
        let restored = engine.restore().await.unwrap();
        assert_eq!((restored.serving, restored.failed.len()), (0, 1));
    }
    // Also where the ingress has kept its route.
    let before = start(&bench);
    let second = worker(&engine);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while start(&bench) < before + 3 {
        assert!(std::time::Instant::now() < deadline, "it is not back");
        bench.clock.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    second.drain(Duration::from_secs(5)).await;
    let left = bench.store.queue_stats().await.unwrap();
    assert_eq!(left.pending + left.queued, 0, "nothing tries on: {left:?}");
    assert_eq!(start(&bench), before + 3);
    assert_eq!(bench.ingress.routed(&slug()).unwrap().release, 1);
}
