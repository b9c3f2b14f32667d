//! Releases that do not become healthy: the one before serves on, and the log says why.

use std::time::Duration;

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::Executor;
use deployr_core::log::LogStream;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, HealthPath};
use deployr_exec::docker::DockerExecutor;
use deployr_exec::docker::swarm::SwarmExecutor;
use deployr_testkit::docker::Docker;
use futures::TryStreamExt;

use crate::support::{SERVER, Target, deploy, get, spec, verdict, within};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_is_told_with_its_last_words() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let app = spec(2, "echo 'no database' >&2; exit 7");
    let step = RecordedStep::new();
    let executor = &target.executor;
    let artifact = target.files(&[("a", "")]);
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();
    let endpoint = executor.start(&app, &step.ctx).await.unwrap();
    let told = verdict(executor.verify(&app, &endpoint, &step.ctx).await);
    assert_eq!(told.code, VerdictCode::StartFailed);
    assert!(told.message.contains("exited 7"), "{told}");
    let said = step.said().await;
    assert!(said.contains(&"no database".to_owned()), "{said:?}");
    executor.discard(&target.slug, 2).await.unwrap();
    assert_eq!(get(live).await.as_deref(), Ok("old"));
    assert_eq!(target.services(), [target.service(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_healthy_is_told_with_its_last_probes() {
    let target = Target::new();
    let mut app = spec(1, SERVER);
    app.recipe.health.path = HealthPath::parse("/up").unwrap();
    within(&mut app, Duration::from_secs(4));
    let files = target.files(&[("a", "")]);
    let told = verdict(deploy(&target.executor, &app, &files, 1).await);
    assert_eq!(told.code, VerdictCode::Unhealthy);
    for wanted in ["404", "/up", "docker service ps"] {
        assert!(told.message.contains(wanted), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_no_place_is_told_so() {
    let target = Target::new();
    let mut app = spec(1, SERVER);
    within(&mut app, Duration::from_millis(800));
    let executor = target
        .executor
        .clone()
        .constraints(["node.labels.disk==floppy"]);
    let files = target.files(&[("a", "")]);
    let told = verdict(deploy(&executor, &app, &files, 1).await);
    assert_eq!(told.code, VerdictCode::Unhealthy);
    assert!(told.message.contains("no suitable node"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_is_swarms_to_run() {
    let target = Target::new();
    let mut app = spec(1, &format!("(sleep 1; touch /tmp/ready) & {SERVER}"));
    app.recipe.health.command = Some(BuildCommand::parse("test -e /tmp/ready").unwrap());
    let files = target.files(&[("index.html", "ready")]);
    let at = deploy(&target.executor, &app, &files, 1).await.unwrap();
    assert_eq!(get(at).await.as_deref(), Ok("ready"));
    let container = target.containers().remove(0);
    let health = [
        "inspect",
        "--format",
        "{{.State.Health.Status}}",
        &container,
    ];
    assert_eq!(target.docker(&health), "healthy");

    let mut never = spec(2, SERVER);
    never.recipe.health.command = Some(BuildCommand::parse("false").unwrap());
    within(&mut never, Duration::from_secs(3));
    let told = verdict(deploy(&target.executor, &never, &files, 2).await);
    assert!(told.message.contains("0 of 1 replicas run"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_says_can_be_followed() {
    let target = Target::new();
    let line = format!("echo first; echo second >&2; (sleep 1; echo third) & {SERVER}");
    let files = target.files(&[("index.html", "")]);
    let executor = &target.executor;
    deploy(executor, &spec(1, &line), &files, 1).await.unwrap();
    let said = executor.output(&target.slug, 1, 10, true).await.unwrap();
    let mut said = std::pin::pin!(said);
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let piece = tokio::time::timeout(Duration::from_secs(30), said.try_next()).await;
        let (stream, bytes) = piece.unwrap().unwrap().unwrap();
        heard.push((stream, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    heard.sort_by(|a, b| a.1.cmp(&b.1));
    let wanted = [
        (LogStream::Stdout, "first\n"),
        (LogStream::Stderr, "second\n"),
        (LogStream::Stdout, "third\n"),
    ];
    assert_eq!(
        heard,
        wanted.map(|(stream, text)| (stream, text.to_owned()))
    );
    let none = executor.output(&target.slug, 9, 10, false).await;
    assert!(none.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_in_no_swarm_is_told_what_to_do() {
    let docker = Docker::start();
    let folder = tempfile::tempdir().unwrap();
    let executor = DockerExecutor::new(folder.path()).socket(docker.socket());
    let executor = SwarmExecutor::new(executor.base_image(docker.busybox()));
    match executor.check_swarm().await {
        Err(StepError::Fault(fault)) => {
            assert!(!fault.retryable);
            assert!(fault.to_string().contains("docker swarm init"), "{fault}");
        }
        other => panic!("{other:?}"),
    }
}
