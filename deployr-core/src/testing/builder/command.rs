use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;

use super::bench::{Bench, put, settings, verdict};
use crate::error::VerdictCode;
use crate::log::LogStream;
use crate::model::ProjectSettings;
use crate::testing::RecordedStep;
use crate::testing::suite::{check_list, in_time};
use crate::value::{BuildCommand, OutputDir};

check_list! { Arc<Bench>;
    a_checkout_is_recognised_by_its_files,
    a_broken_deployr_toml_is_named,
    commands_run_in_order_in_the_checkout,
    output_lines_arrive_in_the_log_in_order,
    a_failing_command_ends_the_build_and_tells_its_exit_code,
    the_environment_arrives_byte_by_byte,
    nothing_of_the_hosts_environment_leaks,
    a_build_without_its_output_is_told_so,
    an_output_outside_of_the_checkout_is_refused,
    builds_at_the_same_time_do_not_mix,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

async fn a_checkout_is_recognised_by_its_files(b: Arc<Bench>) {
    let nothing = b.prepare(&RecordedStep::new()).await;
    let answer = in_time("detect", b.builder.detect(&nothing, &settings())).await;
    verdict(answer, VerdictCode::ConfigInvalid);

    let workspace = b.prepare(&RecordedStep::new()).await;
    let toml = "build = \"./make\"\noutput = \"of-the-file\"\n";
    put(&workspace.checkout, "deployr.toml", toml);
    let detect = async |settings: ProjectSettings| {
        let call = b.builder.detect(&workspace, &settings);
        in_time("detect", call).await.unwrap()
    };
    let recipe = detect(settings()).await;
    assert_eq!(recipe.commands, [BuildCommand::parse("./make").unwrap()]);
    assert_eq!(recipe.output.as_str(), "of-the-file");
    // What the project's owner says weighs more.
    let mut over = settings();
    over.output = Some(OutputDir::parse("of-the-settings").unwrap());
    let recipe = detect(over).await;
    assert_eq!(recipe.commands, [BuildCommand::parse("./make").unwrap()]);
    assert_eq!(recipe.output.as_str(), "of-the-settings");
}

async fn a_broken_deployr_toml_is_named(b: Arc<Bench>) {
    for (line, field) in [
        ("outptu = \"x\"", "outptu"),
        ("output = \"../x\"", "output"),
    ] {
        let workspace = b.prepare(&RecordedStep::new()).await;
        put(&workspace.checkout, "deployr.toml", line);
        put(&workspace.checkout, "index.html", "a site");
        let answer = in_time("detect", b.builder.detect(&workspace, &settings())).await;
        let words = verdict(answer, VerdictCode::ConfigInvalid).message;
        assert!(words.contains(field), "`{field}` is not named in: {words}");
    }
}

async fn commands_run_in_order_in_the_checkout(b: Arc<Bench>) {
    let job = b
        .job(&[
            "mkdir out && cp given out/steps",
            "echo two >> out/steps",
            "cd out && echo three >> steps",
            "echo 'fo''ur' | tee -a out/steps",
        ])
        .await;
    put(&job.spec.workspace.checkout, "given", "one\n");
    let artifact = b.run(&job).await.unwrap();
    let steps = b.text(&artifact, "steps").await;
    assert_eq!(steps, "one\ntwo\nthree\nfour\n");
    assert_eq!(artifact.bytes, steps.len() as u64);
}

async fn output_lines_arrive_in_the_log_in_order(b: Arc<Bench>) {
    const LINES: usize = 3_000;
    let count = format!(
        "mkdir -p out; n=0; while [ $n -lt {LINES} ]; do echo \"out $n\"; echo \"err $n\" >&2; \
         n=$((n+1)); done; printf 'no end'"
    );
    let (job, _) = b.built(&[&count, "echo last"]).await;
    let lines = job.step.lines().await;
    for (stream, word) in [(LogStream::Stdout, "out"), (LogStream::Stderr, "err")] {
        let mut said = lines
            .iter()
            .filter(|(of, text)| *of == stream && text.starts_with(word));
        for n in 0..LINES {
            let next = said.next().map(|(_, text)| text.as_str());
            assert_eq!(next, Some(format!("{word} {n}").as_str()));
        }
    }
    // What comes without a line's end is not lost, wherever it is put.
    let said: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    let at = |wanted: &str| said.iter().rposition(|line| line.contains(wanted));
    assert!(
        at("no end").is_some() && at("no end") <= at("last"),
        "{:?}",
        said.last()
    );
}

async fn a_failing_command_ends_the_build_and_tells_its_exit_code(b: Arc<Bench>) {
    let mut job = b
        .job(&["mkdir out; echo why; exit $((40 + 3))", "touch ran-on"])
        .await;
    let secret = "canary-of-the-suite";
    job.set("TOKEN", secret);
    let words = b.refused(&job, VerdictCode::BuildFailed).await.message;
    assert!(words.contains("43") && !words.contains(secret), "{words}");
    assert!(job.step.said().await.contains(&"why".to_owned()));
    assert!(!job.spec.workspace.checkout.join("ran-on").exists());
    b.clean(&job.spec.workspace).await;
}

async fn the_environment_arrives_byte_by_byte(b: Arc<Bench>) {
    let values = [
        ("PLAIN", "value"),
        ("EMPTY", ""),
        ("SPACES", "  two  spaces \t"),
        ("MULTILINE", "one\ntwo\r\nthree\n"),
        (
            "META",
            "$HOME `id` $(id) ${X} !! \\ \\n ~ * ? [a] {b,c} ; & | < > #",
        ),
        ("QUOTES", "'\"' \"it's\" '\\''"),
        ("SIGNS", "a=b=c %PATH% %s %% \u{1b}[31m"),
        ("UNICODE", "gr\u{fc}\u{df} \u{2713} \u{1f980}"),
        ("CI", "of the project"),
    ];
    let lines: Vec<String> = values
        .iter()
        .map(|(name, _)| format!("printf %s \"${name}\" > out/{name}"))
        .collect();
    let lines: Vec<&str> = ["mkdir out"]
        .into_iter()
        .chain(lines.iter().map(String::as_str))
        .collect();
    let mut job = b.job(&lines).await;
    for (name, value) in values {
        job.set(name, value);
    }
    let artifact = b.run(&job).await.unwrap();
    for (name, value) in values {
        assert_eq!(b.text(&artifact, name).await, value, "{name}");
    }
}

/// What builders may well have in common with the host, without having it from there.
const COMMON: [&str; 9] = [
    "CI",
    "DEBIAN_FRONTEND",
    "HOME",
    "LANG",
    "LC_ALL",
    "PWD",
    "SHELL",
    "TERM",
    "TZ",
];

async fn nothing_of_the_hosts_environment_leaks(b: Arc<Bench>) {
    let passed = b.harness.passed_variables();
    let may_be_seen = |name: &str| COMMON.contains(&name) || passed.iter().any(|p| p == name);
    let host: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, value)| !may_be_seen(name) && value.len() > 1)
        .collect();
    assert!(!host.is_empty(), "this process has nothing that could leak");
    let (_, artifact) = b.built(&["mkdir out; env -0 > out/env"]).await;
    let env = b.text(&artifact, "env").await;
    for variable in env.split_terminator('\0') {
        let (name, value) = variable.split_once('=').unwrap();
        let leak = host.get(name).is_some_and(|of_host| of_host == value);
        assert!(!leak, "{name} is the host's");
    }
}

async fn a_build_without_its_output_is_told_so(b: Arc<Bench>) {
    for line in ["mkdir other", "touch out"] {
        let job = b.job(&[line]).await;
        let words = b.refused(&job, VerdictCode::OutputMissing).await.message;
        assert!(words.contains("`out`"), "{words}");
    }
}

async fn an_output_outside_of_the_checkout_is_refused(b: Arc<Bench>) {
    for line in [
        "ln -s / out",
        "ln -s ../.. out",
        "mkdir out; ln -s /etc/passwd out/x",
        "mkdir out; ln -s ../../x out/x",
    ] {
        let job = b.job(&[line]).await;
        b.refused(&job, VerdictCode::OutputEscapes).await;
    }
}

async fn builds_at_the_same_time_do_not_mix(b: Arc<Bench>) {
    let tasks = (0..4).map(|n: usize| {
        let b = Arc::clone(&b);
        tokio::spawn(async move {
            let line = format!("mkdir out; echo {n} > out/n; echo said {n}");
            let (job, artifact) = b.built(&[&line, "echo over"]).await;
            assert_eq!(b.text(&artifact, "n").await, format!("{n}\n"));
            let said = job.step.said().await;
            let of_builds = said.iter().filter(|line| line.starts_with("said "));
            assert_eq!(of_builds.collect::<Vec<_>>(), [&format!("said {n}")]);
        })
    });
    for done in join_all(tasks).await {
        done.unwrap();
    }
}
