//! The local executor: releases as processes, with real ones.
#![cfg(feature = "local-executor")]

mod executor_support;

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{
    BuildCommand, EnvName, EnvValue, HealthDeadline, HealthInterval, HealthPath, HealthTimeout,
};
use deployr_exec::local::run::{LocalExecutor, ProcessState};
use executor_support::*;

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_started_verified_switched_and_retired() {
    let host = Host::new();
    let spec = host.app(1, SERVER);
    let started = Instant::now();
    let endpoint = host.deploy(&spec, &host.files(&[]), 1).await.unwrap();
    eprintln!("deployed a node app in {:?}", started.elapsed());
    assert_eq!(host.get(&endpoint).await, "release 1");

    let next = host.app(2, SERVER);
    let second = host.deploy(&next, &host.files(&[]), 2).await.unwrap();
    assert_ne!(endpoint, second, "side by side");
    assert_eq!(
        host.get(&endpoint).await,
        "release 1",
        "the old one is up until it is retired"
    );

    let pid = host.executor.status(&host.slug)[0].pid;
    for _ in 0..2 {
        host.executor.retire(&host.slug, 1, GRACE).await.unwrap();
    }
    assert!(!alive(pid));
    assert!(!host.path("run/1.json").exists());
    assert!(host.path("releases/1").exists(), "kept for a rollback");
    assert_eq!(host.get(&second).await, "release 2");
    host.executor.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_release_leaves_the_present_one_serving() {
    let host = Host::new();
    let good = host
        .deploy(&host.app(1, SERVER), &host.files(&[]), 1)
        .await
        .unwrap();

    let mut bad = host.app(2, &SERVER.replace("200", "503"));
    bad.recipe.health.deadline_ms = HealthDeadline::new(800).unwrap();
    bad.recipe.health.interval_ms = HealthInterval::new(100).unwrap();
    let verdict = expect_verdict(host.deploy(&bad, &host.files(&[]), 2).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(
        verdict.message.contains("503 Service Unavailable"),
        "{}",
        verdict.message
    );
    assert_eq!(host.executor.current(&host.slug).await.unwrap(), Some(1));
    assert_eq!(host.get(&good).await, "release 1");

    let pid = host.executor.status(&host.slug)[1].pid;
    for _ in 0..2 {
        host.executor.discard(&host.slug, 2).await.unwrap();
    }
    assert!(!alive(pid) && !host.path("releases/2").exists());
    let refused = host.executor.discard(&host.slug, 1).await;
    assert!(matches!(refused, Err(StepError::Fault(fault)) if !fault.retryable));
    host.executor.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_once_is_told_with_its_output() {
    let host = Host::new();
    let spec = host.sh(1, "echo cannot find the database >&2; exit 3");
    let started = Instant::now();
    let verdict = expect_verdict(host.deploy(&spec, &host.files(&[]), 1).await);
    assert_eq!(verdict.code, VerdictCode::StartFailed);
    assert!(
        verdict.message.contains("exit status: 3"),
        "{}",
        verdict.message
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "at once, not at the deadline"
    );
    assert_eq!(host.read("log/1.log"), "cannot find the database\n");
    assert_eq!(
        host.executor.status(&host.slug)[0].state,
        ProcessState::Ended
    );
    // A second attempt starts it anew.
    let again = host.sh(1, "exit 3");
    let verdict = expect_verdict(host.deploy(&again, &host.files(&[]), 1).await);
    assert_eq!(verdict.code, VerdictCode::StartFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_output_is_in_the_log_of_the_deployment_without_secrets() {
    let host = Host::new();
    let line = "seq 100; echo password is hunter2hunter2; exit 1";
    let step = RecordedStep::redacting(&["hunter2hunter2"]);
    let ctx = &step.ctx;
    let spec = host.sh(1, line);
    host.executor
        .prepare(&spec, &host.files(&[]), ctx)
        .await
        .unwrap();
    let endpoint = host.executor.start(&spec, ctx).await.unwrap();
    let verdict = expect_verdict(host.executor.verify(&spec, &endpoint, ctx).await);
    assert_eq!(verdict.code, VerdictCode::StartFailed);
    let lines = step.said().await;
    assert_eq!(
        lines.len(),
        51,
        "where it runs, and its last 50 lines: {lines:?}"
    );
    assert_eq!(lines[1], "52");
    assert!(
        lines[50].starts_with("password is") && !lines[50].contains("hunter2"),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_process_comes_back_on_its_port() {
    let host = Host::new();
    let endpoint = host
        .deploy(&host.app(1, SERVER), &host.files(&[]), 1)
        .await
        .unwrap();
    for restarts in 1..=2 {
        let pid = host.executor.status(&host.slug)[0].pid;
        kill(pid);
        eventually(|| {
            let status = &host.executor.status(&host.slug)[0];
            status.restarts == restarts && status.state == ProcessState::Running
        })
        .await;
        assert_ne!(host.executor.status(&host.slug)[0].pid, pid);
        assert_eq!(host.get_when_up(&endpoint).await, "release 1");
    }
    host.executor.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_engine_takes_over_what_runs() {
    let mut host = Host::new();
    let spec = host.app(1, SERVER);
    let endpoint = host.deploy(&spec, &host.files(&[]), 1).await.unwrap();
    let pid = host.executor.status(&host.slug)[0].pid;

    host.executor = LocalExecutor::new(host.root());
    assert_eq!(
        host.executor.start(&spec, &context()).await.unwrap(),
        endpoint
    );
    assert_eq!(host.executor.status(&host.slug)[0].pid, pid);
    assert_eq!(host.get(&endpoint).await, "release 1");

    kill(pid);
    eventually(|| host.executor.status(&host.slug)[0].restarts == 1).await;
    assert_eq!(host.get_when_up(&endpoint).await, "release 1");
    host.executor.shutdown(GRACE).await.unwrap();
    assert!(host.living().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_be_made_again_by_a_new_engine() {
    let mut host = Host::new();
    let (spec, ctx) = (host.app(1, SERVER), context());
    let artifact = host.files(&[]);
    let mut endpoints = Vec::new();
    for steps in 1..=4 {
        host.executor = LocalExecutor::new(host.root());
        for _ in 0..2 {
            host.executor.prepare(&spec, &artifact, &ctx).await.unwrap();
            if steps >= 2 {
                endpoints.push(host.executor.start(&spec, &ctx).await.unwrap());
            }
            if steps >= 3 {
                host.executor
                    .verify(&spec, &endpoints[0], &ctx)
                    .await
                    .unwrap();
            }
            if steps >= 4 {
                host.executor
                    .switch(&spec, Turn::new(1, 1), &ctx)
                    .await
                    .unwrap();
            }
        }
    }
    assert!(endpoints.iter().all(|endpoint| *endpoint == endpoints[0]));
    assert_eq!(host.executor.status(&host.slug).len(), 1);
    let processes = host.living().len();

    // An engine that died between starting the process and noting it.
    fs::remove_file(host.path("run/1.json")).unwrap();
    host.executor = LocalExecutor::new(host.root());
    let endpoint = host.executor.start(&spec, &ctx).await.unwrap();
    host.executor.verify(&spec, &endpoint, &ctx).await.unwrap();
    assert_eq!(
        host.living().len(),
        processes,
        "the one that nobody knew was ended"
    );
    host.executor.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_engine_was_going_back_to_is_stopped_and_kept() {
    let mut host = Host::new();
    host.deploy(&host.app(1, SERVER), &host.files(&[]), 1)
        .await
        .unwrap();
    let second = host.app(2, SERVER);
    let endpoint = host.deploy(&second, &host.files(&[]), 2).await.unwrap();
    host.executor.retire(&host.slug, 1, GRACE).await.unwrap();
    let processes = host.living().len();
    let first = host.app(1, SERVER);
    host.executor.start(&first, &context()).await.unwrap();
    assert!(host.living().len() > processes);
    fs::write(host.path("run/1.new"), "half").unwrap();

    host.executor = LocalExecutor::new(host.root());
    for _ in 0..2 {
        let removed = host.executor.prune(&host.slug, &[1, 2]).await.unwrap();
        assert_eq!(removed, [0; 0]);
    }
    assert_eq!(host.living().len(), processes);
    assert!(!host.path("run/1.json").exists() && host.path("releases/1").exists());
    assert_eq!(host.get(&endpoint).await, "release 2");

    assert_eq!(host.executor.prune(&host.slug, &[2]).await.unwrap(), [1]);
    assert!(!host.path("run/1.new").exists());
    host.executor.shutdown(GRACE).await.unwrap();
}

/// Not a test of its own: the engine that the next one kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by a_deployment_goes_on_wherever_the_engine_was_killed"]
async fn engine_to_be_killed() {
    let arg = |name| std::env::var(name).unwrap();
    let (number, steps) = (
        arg("NUMBER").parse().unwrap(),
        arg("STEPS").parse().unwrap(),
    );
    let executor = LocalExecutor::new(arg("ROOT"));
    deploy(
        &executor,
        &app(number, SERVER),
        &folder(arg("ARTIFACT")),
        number,
        steps,
    )
    .await
    .unwrap();
    kill(std::process::id().try_into().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_on_wherever_the_engine_was_killed() {
    let mut host = Host::new();
    let mut processes = 0;
    for number in 1..=16 {
        let artifact = host.files(&[]);
        // After each step, then at odd moments.
        let (steps, millis) = if number <= 4 {
            (number, 60_000)
        } else {
            (4, number * 9 - 40)
        };
        let mut engine = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine_to_be_killed", "--ignored", "--quiet"])
            .env("ROOT", host.root())
            .env("ARTIFACT", host.folder(&artifact))
            .env("NUMBER", number.to_string())
            .env("STEPS", steps.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while engine.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_millis(millis.try_into().unwrap()) {
                engine.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        host.executor = LocalExecutor::new(host.root());
        let endpoint = host
            .deploy(&host.app(number, SERVER), &artifact, number)
            .await
            .unwrap();
        assert_eq!(host.get(&endpoint).await, format!("release {number}"));
        for old in 1..number {
            host.executor.retire(&host.slug, old, GRACE).await.unwrap();
        }
        processes = if processes == 0 {
            host.living().len()
        } else {
            processes
        };
        assert_eq!(host.living().len(), processes, "only one release runs");
    }
    host.executor.shutdown(GRACE).await.unwrap();
    assert!(host.living().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_leaves_no_process() {
    let host = Host::new();
    // Neither asks nor the end of its parent, nor a session of its own, saves it.
    let stubborn = "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & \
                    sleep 1000 & while :; do sleep 1; done";
    host.executor
        .prepare(&host.sh(1, stubborn), &host.files(&[]), &context())
        .await
        .unwrap();
    host.executor
        .start(&host.sh(1, stubborn), &context())
        .await
        .unwrap();
    eventually(|| host.living().len() >= 4).await;
    let stopping = Instant::now();
    host.executor
        .shutdown(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(stopping.elapsed() < Duration::from_secs(3));
    assert_eq!(host.living(), [] as [i32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_arrives_byte_by_byte() {
    let host = Host::new();
    let value = " $(id) `id` \"q\" 'q' \\n \n\t% é ; & | * ~ #";
    let mut spec = host.sh(1, "env -0 > \"$HOME/env.bin\"; while :; do sleep 1; done");
    for (name, value) in [("WILD", value), ("PORT", "1"), ("NODE_ENV", "test")] {
        spec.env
            .insert(
                EnvName::parse(name).unwrap(),
                EnvValue::parse(value).unwrap(),
            )
            .unwrap();
    }
    spec.recipe.health.command =
        Some(BuildCommand::parse("test -s \"$HOME/env.bin\" && test $PORT").unwrap());
    let endpoint = host.deploy(&spec, &host.files(&[]), 1).await.unwrap();
    let Endpoint::Http { address } = endpoint else {
        panic!("not HTTP")
    };
    let all = fs::read_to_string(host.path("tmp/1/env.bin")).unwrap();
    let entries: HashSet<&str> = all.split('\0').collect();
    assert!(entries.contains(format!("WILD={value}").as_str()));
    assert!(
        entries.contains(format!("PORT={}", address.port()).as_str()),
        "the engine's wins"
    );
    assert!(entries.contains("NODE_ENV=test") && entries.contains("DEPLOYR_RELEASE=1"));
    assert!(
        !all.contains("CARGO"),
        "nothing of the engine's own environment"
    );
    let run = host.read("run/1.json");
    assert!(!run.contains("WILD") && !run.contains("$(id)"), "{run}");
    host.executor.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_that_fails_or_hangs_is_unhealthy_and_leaves_nothing() {
    let host = Host::new();
    let mut spec = host.site(1);
    spec.recipe.health.deadline_ms = HealthDeadline::new(600).unwrap();
    spec.recipe.health.timeout_ms = HealthTimeout::new(200).unwrap();
    spec.recipe.health.command = Some(BuildCommand::parse("sleep 987 & sleep 987").unwrap());
    let verdict = expect_verdict(host.deploy(&spec, &host.files(&[]), 1).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(
        verdict.message.contains("no answer in time"),
        "{}",
        verdict.message
    );
    assert_eq!(host.living(), [] as [i32; 0]);

    spec.recipe.health.command = Some(BuildCommand::parse("exit 4").unwrap());
    let verdict = expect_verdict(host.deploy(&spec, &host.files(&[]), 1).await);
    assert!(
        verdict.message.contains("exit status: 4"),
        "{}",
        verdict.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_verification_stops_promptly() {
    let host = Host::new();
    let mut spec = host.sh(1, "while :; do sleep 1; done");
    spec.recipe.health.path = HealthPath::parse("/up").unwrap();
    let ctx = context();
    host.executor
        .prepare(&spec, &host.files(&[]), &ctx)
        .await
        .unwrap();
    let endpoint = host.executor.start(&spec, &ctx).await.unwrap();
    let cancel = ctx.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    let started = Instant::now();
    let stopped: StepResult<()> = host.executor.verify(&spec, &endpoint, &ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)));
    assert!(started.elapsed() < Duration::from_secs(1));
    host.executor.shutdown(Duration::ZERO).await.unwrap();
}
