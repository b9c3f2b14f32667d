//! Releases that do not become healthy: the one before serves on, and the log says why.

use std::time::Duration;

use deployr_core::error::VerdictCode;
use deployr_core::executor::Executor;
use deployr_core::log::LogStream;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, HealthPath};
use deployr_exec::docker::RunLimits;
use futures::TryStreamExt;

use crate::support::{SERVER, Target, get, spec, verdict, within};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_is_told_with_its_last_words() {
    let target = Target::new();
    let (_, live) = target.live(1, "old").await;
    let app = spec(2, "echo 'no database' >&2; echo -n 'giving up'; exit 7");
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
    assert!(said.contains(&"giving up".to_owned()), "{said:?}");
    executor.discard(&target.slug, 2).await.unwrap();
    assert_eq!(get(live).await.as_deref(), Ok("old"));
    assert_eq!(target.containers(), [target.container(1)]);
    assert!(
        !target
            .docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
            .contains(&target.image(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_healthy_is_told_with_its_last_probes() {
    let target = Target::new();
    let mut app = spec(1, &format!("echo starting; {SERVER}"));
    app.recipe.health.path = HealthPath::parse("/up").unwrap();
    within(&mut app, Duration::from_secs(2));
    let step = RecordedStep::new();
    let artifact = target.files(&[("a", "")]);
    target
        .executor
        .prepare(&app, &artifact, &step.ctx)
        .await
        .unwrap();
    let endpoint = target.executor.start(&app, &step.ctx).await.unwrap();
    let told = verdict(target.executor.verify(&app, &endpoint, &step.ctx).await);
    assert_eq!(told.code, VerdictCode::Unhealthy);
    for wanted in ["404", "0.0.0.0", "PORT (8080)", "/up"] {
        assert!(told.message.contains(wanted), "{told}");
    }
    let said = step.said().await;
    assert!(said.contains(&"starting".to_owned()), "{said:?}");
    assert!(
        said.iter()
            .any(|line| line.starts_with("not healthy after")),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fills_its_memory_is_told_so() {
    let target = Target::new();
    let limits = RunLimits {
        memory_bytes: Some(16 << 20),
        ..RunLimits::default()
    };
    let executor = target.executor.clone().limits(limits);
    // What `tail` has to remember is one line without an end.
    let app = spec(1, "exec tail -n 1 /dev/zero");
    let step = RecordedStep::new();
    let artifact = target.files(&[("a", "")]);
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();
    let endpoint = executor.start(&app, &step.ctx).await.unwrap();
    let told = verdict(executor.verify(&app, &endpoint, &step.ctx).await);
    assert!(
        told.message.contains("want of memory (it may use 16 MiB)"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_runs_in_the_container() {
    let target = Target::new();
    let mut app = spec(1, &format!("(sleep 0.3; touch /tmp/ready) & {SERVER}"));
    app.recipe.health.command = Some(BuildCommand::parse("test -e /tmp/ready").unwrap());
    let artifact = target.files(&[("a", "")]);
    target.deploy(&app, &artifact, 1).await.unwrap();

    let mut hangs = spec(2, SERVER);
    hangs.recipe.health.command = Some(BuildCommand::parse("sleep 600").unwrap());
    hangs.recipe.health.timeout_ms = deployr_core::value::HealthTimeout::new(200).unwrap();
    within(&mut hangs, Duration::from_millis(1_500));
    let artifact = target.files(&[("a", "")]);
    let told = verdict(target.deploy(&hangs, &artifact, 2).await);
    assert!(told.message.contains("still running"), "{told}");
    let sleeping = target.docker(&["top", &target.container(2)]);
    assert_eq!(sleeping.matches("sleep 600").count(), 1, "{sleeping}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_says_can_be_followed() {
    let target = Target::new();
    let line = format!("echo first; echo second >&2; (sleep 1; echo third) & {SERVER}");
    let app = spec(1, &line);
    target
        .deploy(&app, &target.files(&[("index.html", "")]), 1)
        .await
        .unwrap();
    let executor = &target.executor;
    let said = executor.output(&target.slug, 1, 10, true).await.unwrap();
    let mut said = std::pin::pin!(said);
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let piece = tokio::time::timeout(Duration::from_secs(30), said.try_next()).await;
        let (stream, bytes) = piece.unwrap().unwrap().unwrap();
        heard.push((stream, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    heard.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(
        heard,
        [
            (LogStream::Stdout, "first\n".to_owned()),
            (LogStream::Stderr, "second\n".to_owned()),
            (LogStream::Stdout, "third\n".to_owned()),
        ]
    );
    // It ends with the container.
    target.docker(&["kill", &target.container(1)]);
    let none = executor.output(&target.slug, 9, 10, false).await;
    assert!(none.is_err());
}
