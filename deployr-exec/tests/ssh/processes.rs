use std::fs;

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, EnvName, EnvValue};
use std::time::Duration;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn variables_arrive_byte_for_byte_and_are_seen_by_nobody() {
    let lab = Lab::new();
    let canary = lab.sshd.home().join("canary");
    let touch = format!("touch {}", canary.display());
    let mut spec = app(1, &format!("env -0 > seen; echo pid > pid; {SERVER}"));
    let mut wanted = Vec::new();
    let values = [
        "$(C)",
        "`C`",
        "'; C; '",
        "\"; C; \"",
        "a\nb\n\n",
        "\\'",
        "\u{1f600} é",
        " ",
        "",
        "s3cr3t-value-of-mine",
    ];
    // Also names that the scripts themselves use.
    let names = [
        "base", "run", "env", "line", "folder", "locale", "number", "A1", "B", "SECRET",
    ];
    for (name, value) in names.into_iter().zip(values) {
        let value = value.replace('C', &touch);
        spec.env
            .insert(
                EnvName::parse(name).unwrap(),
                EnvValue::parse(&value).unwrap(),
            )
            .unwrap();
        wanted.push(format!("{name}={value}"));
    }
    spec.recipe.health.command =
        Some(BuildCommand::parse("test \"${#SECRET}\" = 20 && test -s seen").unwrap());
    let artifact = lab.files(&[("index.html", "home")]);
    let step = RecordedStep::redacting(&["s3cr3t-value-of-mine"]);
    let endpoint = deploy(&lab.executor, &spec, &artifact, &step.ctx)
        .await
        .unwrap();
    eventually("an answer", || lab.path("current/pid").exists()).await;

    let seen = lab.read("current/seen");
    let seen: Vec<&str> = seen.split('\0').collect();
    for wanted in &wanted {
        assert!(seen.contains(&wanted.as_str()), "{wanted:?} in {seen:?}");
    }
    assert!(!seen.iter().any(|entry| entry.starts_with("SSH_")));
    assert!(!canary.exists());
    let lines = lab.command_lines();
    assert!(
        lines.contains("node") && !lines.contains("s3cr3t"),
        "{lines}"
    );
    assert!(!lab.sshd.log().contains("s3cr3t"));
    // Nor does it lie about, in whatever file.
    let grep = std::process::Command::new("grep")
        .args(["-rl", "s3cr3t"])
        .arg(lab.sshd.home())
        .output()
        .unwrap();
    let files = String::from_utf8(grep.stdout).unwrap();
    let own = lab.path(&format!("releases/1-{COMMIT}/seen"));
    assert_eq!(files.trim(), own.to_str().unwrap());
    // Its own health command does not wait for the port.
    let start = std::time::Instant::now();
    while get(&endpoint).await.is_err() && start.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(get(&endpoint).await.unwrap(), "release 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_release_is_started_again_and_a_retired_one_is_not() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    let line = format!("echo $$ > pid; {SERVER}");
    let first = lab.deploy(&app(1, &line), &artifact).await.unwrap();
    let pid = lab.read("current/pid");
    let kill = std::process::Command::new("kill")
        .args(["-9", pid.trim()])
        .status();
    assert!(kill.unwrap().success());
    eventually("another process", || {
        lab.read("current/pid") != pid && !lab.read("current/pid").is_empty()
    })
    .await;
    lab.executor
        .verify(&app(1, &line), &first, &context())
        .await
        .unwrap();
    assert_eq!(get(&first).await.unwrap(), "release 1");

    let second = lab.deploy(&app(2, &line), &artifact).await.unwrap();
    assert_ne!(first, second);
    let slug = app(1, &line).slug;
    lab.executor
        .retire(&slug, 1, Duration::from_secs(2))
        .await
        .unwrap();
    assert!(get(&first).await.is_err());
    assert_eq!(get(&second).await.unwrap(), "release 2");
    // Gone with all that it has started, and not to come back.
    let marked = |number: i64| {
        let mark = format!(
            "DEPLOYR_RUN={}/",
            lab.path(&format!("run/{number}")).display()
        );
        let of = |pid: &u32| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is = |env: Vec<u8>| env.split(|b| *b == 0).any(|entry| entry == mark.as_bytes());
        lab.sshd
            .processes()
            .iter()
            .filter(|pid| is(of(pid)))
            .count()
    };
    assert_eq!((marked(1), marked(2)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_clings_to_life_is_killed_after_its_time() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    let stubborn = format!(
        "trap '' TERM; (trap '' TERM; setsid sleep 1000) & {}",
        SERVER.trim_start_matches("exec ")
    );
    let endpoint = lab.deploy(&app(1, &stubborn), &artifact).await.unwrap();
    lab.deploy(&app(2, SERVER), &artifact).await.unwrap();
    lab.executor
        .retire(&app(1, SERVER).slug, 1, Duration::from_secs(1))
        .await
        .unwrap();
    assert!(get(&endpoint).await.is_err());
    let sleeps = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line == "sleep\x001000\0")
    };
    assert!(!lab.sshd.processes().iter().any(sleeps));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_at_once_has_failed_and_says_why() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&app(1, SERVER), &artifact).await.unwrap();
    let step = RecordedStep::default();
    let ends = app(2, "echo no such table; exit 3");
    let failed = deploy(&lab.executor, &ends, &artifact, &step.ctx).await;
    match failed {
        Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::StartFailed => {
            assert!(verdict.message.contains("ended with 3"), "{verdict}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        step.said()
            .await
            .iter()
            .any(|line| line.contains("no such table"))
    );
    lab.executor.discard(&ends.slug, 2).await.unwrap();
    assert_eq!(lab.executor.current(&ends.slug).await.unwrap(), Some(1));
    assert!(!lab.path("run/2").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_the_host_was_off_brings_it_up_on_its_port() {
    let mut lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    let endpoint = lab.deploy(&app(1, SERVER), &artifact).await.unwrap();
    // All at once, as when the power fails.
    let pids = lab.sshd.processes();
    let mut kill = std::process::Command::new("kill");
    kill.arg("-9").args(pids.iter().map(u32::to_string));
    kill.status().unwrap();
    lab.sshd.kill();
    lab.sshd.up();
    let spec = app(1, SERVER);
    let again = lab.executor.start(&spec, &context()).await.unwrap();
    assert_eq!(again, endpoint);
    lab.executor
        .verify(&spec, &again, &context())
        .await
        .unwrap();
    lab.executor
        .switch(&spec, Turn::new(1, 2), &context())
        .await
        .unwrap();
    assert_eq!(get(&again).await.unwrap(), "release 1");
}
