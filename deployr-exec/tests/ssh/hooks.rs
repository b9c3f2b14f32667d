use std::fs;

use deployr_core::command::Command;
use deployr_core::context::StepContext;
use deployr_core::error::StepError;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, EnvName, EnvValue};

use crate::support::*;

/// Notes that it runs, and goes on when it is told to.
fn slow(lab: &Lab) -> Command {
    let home = lab.sshd.home();
    let at = home.display();
    let script = format!(
        "echo begun; echo run >> {at}/runs; until [ -e {at}/go ]; do sleep 0.05; done; echo done"
    );
    Command::new("sh").arg("-c").arg(script)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_on_when_the_connection_is_cut_and_runs_once() {
    let mut lab = Lab::new();
    lab.executor = lab.executor.clone().before_switch(slow(&lab));
    let artifact = lab.files(&[("index.html", "home")]);
    let (spec, step) = (site(1), RecordedStep::default());
    let runs = lab.sshd.home().join("runs");
    lab.executor
        .prepare(&spec, &artifact, &step.ctx)
        .await
        .unwrap();
    let executor = lab.executor.clone();
    let switch = executor.switch(&spec, Turn::new(1, 1), &step.ctx);
    let trouble = async {
        eventually("a run", || runs.exists()).await;
        lab.sshd.cut();
        lab.sshd.kill();
        fs::write(lab.sshd.home().join("go"), "").unwrap();
        let exit = path(&lab.sshd, "jobs/1-before-1-0/exit");
        eventually("its end", || exit.exists()).await;
        lab.sshd.up();
    };
    let (switched, ()) = tokio::join!(switch, trouble);
    switched.unwrap();
    assert_eq!(fs::read_to_string(&runs).unwrap(), "run\n");
    assert_eq!(lab.executor.current(&spec.slug).await.unwrap(), Some(1));
    assert_eq!(step.said().await, ["begun", "done"]);

    // Nor does another attempt at the same deployment run it anew.
    fs::remove_file(lab.path("current")).unwrap();
    let again = step.next_attempt();
    lab.executor
        .switch(&spec, Turn::new(1, 2), &again.ctx)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&runs).unwrap(), "run\n");
    // The next deployment does, and the one after it forgets the first.
    for number in [2, 3] {
        lab.deploy(&site(number), &artifact).await.unwrap();
    }
    assert_eq!(fs::read_to_string(&runs).unwrap(), "run\nrun\nrun\n");
    // A way back runs none.
    lab.executor
        .switch(&site(2), Turn::new(4, 1), &context())
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&runs).unwrap(), "run\nrun\nrun\n");
    lab.executor
        .switch(&site(3), Turn::new(3, 9), &context())
        .await
        .unwrap_err();
    lab.executor
        .switch(&site(3), Turn::new(5, 1), &context())
        .await
        .unwrap();
    lab.executor.prune(&spec.slug, &[3]).await.unwrap();
    assert_eq!(fs::read_dir(lab.path("jobs")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_before_the_switch_stops_it() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    let fails = Command::new("sh").arg("-c").arg("echo broken; exit 9");
    let before = lab.executor.clone().before_switch(fails.clone());
    let step = RecordedStep::default();
    let fault = expect_fault(deploy(&before, &site(2), &artifact, &step.ctx).await);
    assert!(
        !fault.retryable && fault.to_string().contains("ended with 9"),
        "{fault}"
    );
    assert_eq!(step.said().await.last().map(String::as_str), Some("broken"));
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(1));

    let after = lab.executor.clone().after_switch(fails);
    let step = RecordedStep::default();
    deploy(&after, &site(3), &artifact, &step.ctx)
        .await
        .unwrap();
    assert!(
        step.said()
            .await
            .iter()
            .any(|line| line.starts_with("warning: run of sh"))
    );
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_when_the_deployment_is_to_stop() {
    let mut lab = Lab::new();
    lab.executor = lab.executor.clone().before_switch(slow(&lab));
    let artifact = lab.files(&[("index.html", "home")]);
    let ctx = context();
    let stop = async {
        let runs = lab.sshd.home().join("runs");
        eventually("a run", || runs.exists()).await;
        ctx.cancel.cancel();
    };
    let spec = site(1);
    let (stopped, ()) = tokio::join!(deploy(&lab.executor, &spec, &artifact, &ctx), stop);
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    let running = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.contains("echo begun"))
    };
    // Calls that only speak of it may be about to end.
    eventually("its end", || !lab.sshd.processes().iter().any(running)).await;
    assert!(!lab.path("current").exists());
    // What was stopped is begun anew.
    fs::write(lab.sshd.home().join("go"), "").unwrap();
    let again = StepContext {
        attempt: 2,
        ..context()
    };
    deploy(&lab.executor, &spec, &artifact, &again)
        .await
        .unwrap();
    let runs = fs::read_to_string(lab.sshd.home().join("runs")).unwrap();
    assert_eq!(runs, "run\nrun\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_left_to_the_next_attempt_where_there_is_one() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    let at = lab.sshd.home().display().to_string();
    let line = format!("echo run >> {at}/runs; until [ -e {at}/go ]; do sleep 0.05; done");
    let mut spec = site(1);
    let (name, secret) = (
        EnvName::parse("TOKEN"),
        EnvValue::parse("c4nary-of-a-secret"),
    );
    spec.env.insert(name.unwrap(), secret.unwrap()).unwrap();
    spec.recipe.on_target.migrate = Some(BuildCommand::parse(&line).unwrap());
    let first = context();
    let hand_over = async {
        let runs = lab.sshd.home().join("runs");
        eventually("a run", || runs.exists()).await;
        let lines = lab.command_lines();
        assert!(
            lines.contains("/runs") && !lines.contains("c4nary"),
            "{lines}"
        );
        first.handed_over.cancel();
        first.cancel.cancel();
    };
    let (left, ()) = tokio::join!(deploy(&lab.executor, &spec, &artifact, &first), hand_over);
    assert!(matches!(left, Err(StepError::Stopped)), "{left:?}");
    let second = StepContext {
        deployment: first.deployment,
        attempt: 2,
        ..context()
    };
    let go = async { fs::write(lab.sshd.home().join("go"), "").unwrap() };
    let (done, ()) = tokio::join!(deploy(&lab.executor, &spec, &artifact, &second), go);
    done.unwrap();
    let runs = fs::read_to_string(lab.sshd.home().join("runs")).unwrap();
    assert_eq!(runs, "run\n");
}
