use std::fs;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use deployr_core::builder::Builder;
use deployr_core::error::{StepError, VerdictCode};
use deployr_core::model::ProjectSettings;
use deployr_core::value::{BranchName, GitUrl, TargetName};
use deployr_exec::local::build::BuildLimits;

use crate::support::{Bed, alive, eventually, folder, put};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_project_is_detected_and_built() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    put(
        &workspace.checkout.join("package.json"),
        r#"{"scripts":{"build":"node build.js"}}"#,
    );
    put(
        &workspace.checkout.join("build.js"),
        "fs=require('fs');fs.mkdirSync('build');fs.writeFileSync('build/index.html','hi');\
         console.log('built with',process.env.CI);console.error('to stderr')",
    );
    // The template of something; the build does not touch it.
    put(&workspace.checkout.join("dist/index.html"), "old");
    tokio::time::sleep(Duration::from_millis(50)).await;

    let source = GitUrl::parse("https://github.com/a/b.git").unwrap();
    let branch = BranchName::parse("main").unwrap();
    let settings = ProjectSettings::new(source, branch, TargetName::parse("local").unwrap());
    let mut spec = bed.spec(&workspace, &[]);
    spec.recipe = bed.builder.detect(&workspace, &settings).await.unwrap();
    let plan: Vec<String> = bed
        .builder
        .plan(&spec.recipe)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(plan[1], "build: /bin/sh -c 'npm run build'");

    let artifact = bed.builder.build(&spec, &bed.ctx).await.unwrap();
    assert_eq!(folder(&artifact), workspace.checkout.join("build"));
    assert_eq!(artifact.bytes, 2);
    let log = bed.log().await;
    for line in ["$ npm run build", "built with 1", "to stderr"] {
        assert!(
            log.iter().any(|logged| logged == line),
            "{line} is not in {log:#?}"
        );
    }
}

#[tokio::test]
async fn a_failing_command_ends_the_build_and_says_how() {
    let bed = Bed::new();
    let verdict = bed
        .refused(&["true", "echo why >&2; exit 3", "touch ran-on"])
        .await;
    assert_eq!(verdict.code, VerdictCode::BuildFailed);
    assert!(
        verdict
            .message
            .starts_with("`echo why >&2; exit 3` exited 3"),
        "{verdict}"
    );
    assert!(bed.log().await.contains(&"why".to_owned()));
    let checkout = bed.root().join("work").join(bed.marker()).join("checkout");
    assert!(!checkout.join("ran-on").exists());

    let verdict = bed.refused(&["no-such-program --help"]).await;
    assert!(verdict.message.contains("exited 127") && verdict.message.contains("tool_dirs"));
    let verdict = bed.refused(&["kill -TERM $$"]).await;
    assert!(verdict.message.contains("ended by SIGTERM"), "{verdict}");
}

#[tokio::test]
async fn limits_have_verdicts_of_their_own() {
    let bed = Bed::with(|builder| {
        builder.limits(BuildLimits {
            memory_bytes: Some(256 << 20),
            file_bytes: Some(1 << 20),
            output_bytes: 1 << 20,
            ..BuildLimits::default()
        })
    });
    let verdict = bed
        .refused(&["head -c 2000000 /dev/zero > large; exit $?"])
        .await;
    assert_eq!(verdict.code, VerdictCode::DiskFull, "{verdict}");
    let watchers = "echo 'ENOSPC: System limit for number of file watchers reached' >&2; exit 1";
    let verdict = bed.refused(&[watchers]).await;
    assert_eq!(verdict.code, VerdictCode::BuildFailed, "{verdict}");
    let verdict = bed.refused(&["kill -KILL $$"]).await;
    assert_eq!(verdict.code, VerdictCode::OutOfMemory, "{verdict}");
    let two = "mkdir out; head -c 900000 /dev/zero > out/a; cp out/a out/b";
    let verdict = bed.refused(&[two]).await;
    assert_eq!(verdict.code, VerdictCode::TooLarge, "{verdict}");

    let hungry = "node -e 'let a=[];for(;;)a.push(Buffer.alloc(16<<20,1))'; echo $? > code; exit 1";
    let verdict = bed.refused(&[hungry]).await;
    let checkout = bed.root().join("work").join(bed.marker()).join("checkout");
    let code = fs::read_to_string(checkout.join("code")).unwrap();
    assert_ne!(code.trim(), "0", "node was held to 256 MiB: {verdict}");
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_killed_with_all_that_it_started() {
    let mut bed = Bed::new();
    bed.timeout = Duration::from_millis(700);
    let begin = Instant::now();
    let line = "trap '' TERM; setsid sleep 300 & (setsid sh -c 'sleep 301; true' &) ; sleep 302";
    let verdict = bed.refused(&[line]).await;
    assert_eq!(verdict.code, VerdictCode::BuildTimedOut);
    assert!(verdict.message.contains("0.7 s"), "{verdict}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(alive(&bed.marker()), [""; 0]);
}

#[tokio::test]
async fn what_a_build_leaves_in_the_background_neither_holds_it_nor_survives_it() {
    let bed = Bed::new();
    let begin = Instant::now();
    bed.build(&["mkdir out; setsid sleep 300 & sleep 301 & echo done"])
        .await
        .unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(alive(&bed.marker()), [""; 0]);
    assert!(bed.log().await.contains(&"done".to_owned()));
}

#[tokio::test]
async fn a_process_that_hides_from_its_build_is_found() {
    let bed = Bed::new();
    let line = "mkdir out; env -i setsid sh -c 'cd /; echo $$ > \"$0\"; while sleep 0.01; do echo x; done' \
        \"$PWD/out/pid\" & while ! test -s out/pid; do sleep 0.01; done";
    let begin = Instant::now();
    let pid = bed.output(&[line], "pid").await;
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn a_cancelled_build_is_gone_when_it_returns() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    let spec = bed.spec(
        &workspace,
        &["setsid sleep 300 & sleep 301", "touch ran-on"],
    );
    let marker = bed.marker();
    let stop = async {
        eventually("the build runs", || alive(&marker).len() >= 3).await;
        bed.cancel.cancel();
        Instant::now()
    };
    let (ended, stopped) = tokio::join!(bed.builder.build(&spec, &bed.ctx), stop);
    assert!(matches!(ended, Err(StepError::Stopped)), "{ended:?}");
    assert!(
        stopped.elapsed() < Duration::from_secs(3),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(alive(&marker), [""; 0]);
    assert!(!workspace.checkout.join("ran-on").exists());
}

#[tokio::test]
async fn a_build_whose_future_is_dropped_is_killed() {
    let bed = Bed::new();
    let marker = bed.marker();
    let workspace = bed.workspace().await;
    let spec = bed.spec(&workspace, &["setsid sleep 300 & sleep 301"]);
    tokio::select! {
        ended = bed.builder.build(&spec, &bed.ctx) => panic!("{ended:?}"),
        () = eventually("the build runs", || alive(&marker).len() >= 3) => {}
    }
    eventually("all of it is dead", || alive(&marker).is_empty()).await;
}

#[tokio::test]
async fn a_build_sees_the_projects_environment_and_not_the_engines() {
    let mut bed = Bed::new();
    let value = " first\nsecond='\"$(id)`\t\u{e9}\n";
    bed.set("MULTI", value);
    bed.set("CI", "of the project");
    // Cargo sets this for the test, which stands for the engine here.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let text = bed.output(&["mkdir out; env -0 > out/env"], "env").await;
    let vars: Vec<&str> = text.split_terminator('\0').collect();
    assert!(
        vars.contains(&format!("MULTI={value}").as_str()),
        "{vars:?}"
    );
    assert!(vars.contains(&"CI=of the project") && vars.contains(&"DEPLOYR=1"));
    assert!(
        !vars.iter().any(|var| var.starts_with("CARGO_MANIFEST_DIR")),
        "{vars:?}"
    );
    assert!(
        !vars.iter().any(|var| var.starts_with("NODE_ENV")),
        "{vars:?}"
    );
    let home = bed.root().join("work").join(bed.marker()).join("home");
    let home = format!("HOME={}", fs::canonicalize(home).unwrap().display());
    assert!(vars.contains(&home.as_str()), "{vars:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_takes_no_memory() {
    let bed = Bed::new();
    bed.build(&["mkdir out"]).await.unwrap();
    let before = resident();
    let line = "mkdir out; yes 'a line of some length, of which there are many' | head -c 52428800";
    bed.build(&[line]).await.unwrap();
    bed.ctx.log.flush().await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB", grown >> 20);
    assert!(
        bed.lines.bytes.load(Ordering::Relaxed) > 19 << 20,
        "kept up to the log's limit"
    );
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Not a test of its own: the engine that the next test kills.
#[tokio::test]
async fn victim() {
    let Some(data) = std::env::var_os("DEPLOYR_TEST_VICTIM") else {
        return;
    };
    let mut bed = Bed::new();
    bed.builder = deployr_exec::local::build::LocalBuilder::new(data);
    let _ = bed
        .build(&["setsid sleep 300 & echo $! > left; sleep 301 & (sleep 302; true); true"])
        .await;
}

#[tokio::test]
async fn an_engine_that_is_killed_leaves_nothing_that_the_next_does_not_remove() {
    let bed = Bed::new();
    let mut engine = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::victim"])
        .env("DEPLOYR_TEST_VICTIM", bed.root())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let work = bed.root().join("work");
    let running = || {
        let name = fs::read_dir(&work)
            .ok()?
            .next()?
            .ok()?
            .file_name()
            .into_string()
            .ok()?;
        let left = fs::read_to_string(work.join(&name).join("checkout/left")).ok()?;
        (alive(&name).len() == 5).then(|| (name, left.trim().to_owned()))
    };
    eventually("the build runs", || running().is_some()).await;
    let (marker, left) = running().unwrap();

    assert_eq!(bed.builder.remove_stale().await.unwrap(), 0, "it is in use");
    assert!(work.join(&marker).exists());
    engine.kill().unwrap();
    engine.wait().unwrap();
    eventually("the kernel kills all that has not left the group", || {
        alive(&marker) == [&*left]
    })
    .await;
    assert_eq!(bed.builder.remove_stale().await.unwrap(), 1);
    assert_eq!(alive(&marker), [""; 0]);
    assert!(!work.join(&marker).exists());
}
