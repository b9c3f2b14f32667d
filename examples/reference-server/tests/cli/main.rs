//! The program as people and scripts use it.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod machine;

use std::time::Duration;

use machine::{Machine, Repository, code, event, json_lines, stderr, stdout, wait_for};
use nix::sys::signal::Signal;

#[test]
fn demo_once_shows_two_versions_and_no_failed_request() {
    let machine = Machine::new();
    let shown = machine.run(&["demo", "--once", "--json"]);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    let demo = event(&shown, "demo");
    assert_eq!(demo["failed_requests"], 0);
    assert!(demo["requests"].as_u64().unwrap() > 0);
    assert!(demo["stages_ms"][1]["build"].is_u64());
    assert!(
        !machine.path().join(".deployr").exists(),
        "the demo leaves no trace"
    );
}

#[test]
fn demo_for_people_ends_with_its_address() {
    let shown = Machine::new().run(&["demo", "--once"]);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    let text = stdout(&shown);
    assert!(
        text.contains("0 failed") && text.contains("http://hello.localhost:"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours where nobody watches");
}

#[test]
fn a_failing_build_is_a_verdict() {
    let machine = Machine::new();
    let site = Repository::new(
        &machine,
        "site",
        "echo compiling; echo 'no such module' >&2; exit 3",
    );
    let failed = machine.run(&["deploy", site.path()]);
    assert_eq!(code(&failed), 1, "{}", stderr(&failed));
    let text = stdout(&failed);
    assert!(text.contains("[build] no such module"), "{text}");
    assert!(text.contains("failed") && text.contains('3'), "{text}");

    let json = machine.run(&["deploy", site.path(), "--json"]);
    assert_eq!(code(&json), 1);
    let finished = event(&json, "finished");
    assert_eq!(finished["deployment"]["status"], "failed");
    assert_eq!(finished["deployment"]["failure"]["code"], "build_failed");
}

#[test]
fn a_bad_value_is_told_by_field_and_rule() {
    let machine = Machine::new();
    assert_eq!(code(&machine.run(&["migrate"])), 0);
    for (arguments, field) in [
        (vec!["deploy", "ftp://example.com/x.git"], "repo_url"),
        (
            vec!["deploy", "https://me:hunter2@example.com/x.git"],
            "repo_url",
        ),
        (
            vec!["deploy", "https://example.com/x.git", "--branch", "a..b"],
            "branch",
        ),
        (
            vec!["deploy", "https://example.com/x.git", "--env", "1=2"],
            "env_key",
        ),
        (vec!["show", "dep_1"], "deployment id"),
        (vec!["list", "--domain", "http://a.b"], "domain"),
        (vec!["list", "--trusted-proxies", "proxy"], "network"),
        (vec!["list", "--concurrency", "999"], "1..=64"),
    ] {
        let refused = machine.run(&arguments);
        let text = stderr(&refused);
        assert_eq!(code(&refused), 64, "{arguments:?}: {text}");
        assert!(
            text.starts_with("error: ") && text.contains(field),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(code(&machine.run(&["deploy"])), 64);
    assert_eq!(code(&machine.run(&["--help"])), 0);
}

#[test]
fn a_setting_comes_from_the_flag_then_the_variable_then_the_file() {
    let machine = Machine::new();
    std::fs::write(
        machine.path().join("my.toml"),
        "listen = \"127.0.0.1:1\"\ndata = \"elsewhere\"\n",
    )
    .unwrap();
    assert_eq!(code(&machine.run(&["migrate", "--config", "my.toml"])), 0);
    assert!(machine.path().join("elsewhere/deployr.db").exists());
    std::fs::write(machine.path().join("my.toml"), "lissten = 1\n").unwrap();
    let refused = machine.run(&["list", "--config", "my.toml"]);
    assert_eq!(code(&refused), 64);
    assert!(stderr(&refused).contains("lissten"), "{}", stderr(&refused));
}

#[test]
fn what_is_not_there_is_a_fault() {
    let machine = Machine::new();
    assert_eq!(code(&machine.run(&["migrate"])), 0);
    let missing = machine.run(&["show", "nothing"]);
    assert_eq!(code(&missing), 2);
    assert!(
        stderr(&missing).contains("no project nothing"),
        "{}",
        stderr(&missing)
    );
    let json = machine.run(&["show", "nothing", "--json"]);
    assert_eq!(json_lines(&json)[0]["error"]["kind"], "fault");
    assert_eq!(stderr(&json), "");
}

#[test]
fn where_there_is_nothing_it_says_so_and_makes_nothing() {
    let machine = Machine::new();
    for arguments in [
        &["list"][..],
        &["show", "site"],
        &["logs", "site"],
        &["cancel", "site"],
        &["env", "list", "site"],
        &["rollback", "site"],
    ] {
        let refused = machine.run(arguments);
        let text = stderr(&refused);
        assert_eq!(code(&refused), 2, "{arguments:?}: {text}");
        assert!(text.contains("there is nothing of deployr in"), "{text}");
        assert!(text.contains("--data DIR"), "{text}");
    }
    let doctor = machine.run(&["doctor", "--listen", "127.0.0.1:0", "--json"]);
    let checks = json_lines(&doctor);
    assert_eq!(checks[0]["check"], "data directory");
    assert_eq!(checks[0]["state"], "lacking");
    assert_eq!(std::fs::read_dir(machine.path()).unwrap().count(), 0);
}

#[test]
fn the_doctor_knows_who_serves_and_leaves_it_alone() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let address = format!("127.0.0.1:{}", server.port());
    let doctor = machine.run(&["doctor", "--listen", &address, "--json"]);
    let port = json_lines(&doctor)
        .into_iter()
        .find(|line| line["check"] == "port")
        .unwrap();
    let found = port["found"].as_str().unwrap().to_owned();
    assert!(
        found.contains(&format!("served by process {}", server.pid())),
        "{found}"
    );
}

#[test]
fn the_doctor_misses_a_key_that_is_lost() {
    let machine = Machine::new();
    assert_eq!(code(&machine.run(&["migrate"])), 0);
    let doctor = machine.run(&["doctor", "--json"]);
    assert_eq!(code(&doctor), 2);
    let keys = json_lines(&doctor)
        .into_iter()
        .find(|line| line["check"] == "keys")
        .unwrap();
    assert_eq!(keys["state"], "missing");
    assert!(!machine.path().join(".deployr/secret.key").exists());
}

#[test]
fn a_port_in_use_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = Machine::new().run(&["serve", "--listen", &address]);
    assert_eq!(code(&refused), 2);
    let text = stderr(&refused);
    assert!(
        text.contains("in use") && text.contains("--listen"),
        "{text}"
    );
}

#[test]
fn one_process_at_a_time_works_on_a_data_directory() {
    let machine = Machine::new();
    let server = machine.serve(&[]);
    let refused = machine.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&refused), 2);
    assert!(
        stderr(&refused).contains(&server.pid().to_string()),
        "{}",
        stderr(&refused)
    );
    assert!(server.get("", "/healthz").contains(r#""status":"ok""#));
    assert_eq!(
        server.stop(Signal::SIGTERM),
        Some(0),
        "asked to stop, it ends well"
    );
}

#[test]
fn who_waits_for_a_server_that_has_died_is_told_so() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "echo at work; sleep 600");
    let server = machine.serve(&[]);
    let mut waiting = machine.start(&["deploy", site.path(), "--json"]);
    waiting.wait_for_line("at work");
    assert_eq!(server.stop(Signal::SIGKILL), None);
    let told = waiting.wait_for_line("\"error\"");
    assert!(told.contains("has ended"), "{told}");
    assert_eq!(waiting.wait(), Some(2));
}

#[test]
fn two_deployments_and_back() {
    let machine = Machine::new();
    let site = Repository::new(
        &machine,
        "site",
        "mkdir dist && cp page.html dist/index.html",
    );
    let server = machine.serve(&[]);
    site.commit("page.html", "one");
    let first = machine.run(&["deploy", site.path(), "--json"]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert_eq!(event(&first, "finished")["release"], 1);
    assert_eq!(
        event(&first, "finished")["url"],
        format!("http://site.localhost:{}", server.port())
    );
    assert!(server.get("site.localhost", "/").ends_with("one"));

    site.commit("page.html", "two");
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    assert!(server.get("site.localhost", "/").ends_with("two"));

    let back = machine.run(&["rollback", "site"]);
    assert_eq!(code(&back), 0, "{}", stderr(&back));
    assert!(server.get("site.localhost", "/").ends_with("one"));
    assert_eq!(code(&machine.run(&["rollback", "site", "--to", "2"])), 0);
    assert!(server.get("site.localhost", "/").ends_with("two"));
    assert_eq!(code(&machine.run(&["rollback", "site", "--to", "9"])), 2);

    let shown = machine.run(&["show", "site", "--json"]);
    let releases = json_lines(&shown)[0]["releases"].clone();
    assert_eq!(
        (&releases[0]["state"], &releases[1]["state"]),
        (&"live".into(), &"kept".into())
    );
    assert_eq!(
        json_lines(&machine.run(&["list", "site", "--json"])).len(),
        4
    );
    assert!(stdout(&machine.run(&["logs", "site"])).contains("going back to release 2"));

    // What was live is served again after a restart.
    assert_eq!(server.stop(Signal::SIGINT), Some(0));
    let server = machine.serve(&[]);
    assert!(server.get("site.localhost", "/").ends_with("two"));
}

#[test]
fn a_plan_changes_nothing() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "touch built-by-plan");
    let plan = machine.run(&["plan", site.path()]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let text = stdout(&plan);
    assert!(text.contains("sh build.sh"), "{text}");
    let sites = machine.path().join(".deployr/sites/site/releases");
    assert!(
        text.contains(sites.to_str().unwrap()),
        "as it would be: {text}"
    );
    assert!(!machine.path().join(".deployr").exists());

    let other = Repository::new(&machine, "other", "mkdir dist; echo hi > dist/index.html");
    assert_eq!(code(&machine.run(&["deploy", other.path()])), 0);
    let before = all_lists(&machine);
    for what in [site.path(), "other"] {
        let plan = machine.run(&["plan", what]);
        assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    }
    assert_eq!(all_lists(&machine), before);
    let work = machine.path().join(".deployr/builds/work");
    assert_eq!(
        std::fs::read_dir(work).unwrap().count(),
        0,
        "nothing is left of it"
    );
}

/// What there is, as the program tells it.
fn all_lists(machine: &Machine) -> [String; 3] {
    [
        &["list", "--json"][..],
        &["list", "other", "--json"],
        &["show", "other", "--json"],
    ]
    .map(|arguments| stdout(&machine.run(arguments)))
}

#[test]
fn secrets_stay_secret() {
    let machine = Machine::new();
    let site = Repository::new(
        &machine,
        "site",
        "echo \"the token is $TOKEN\"; mkdir dist; echo hi > dist/index.html",
    );
    let secret = "correct-horse-battery";
    let done = machine.run(&[
        "deploy",
        site.path(),
        "--env",
        &format!("TOKEN={secret}"),
        "--json",
    ]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert!(
        stdout(&done).contains("the token is "),
        "the build has said it"
    );
    assert!(!stdout(&done).contains(secret) && !stderr(&done).contains(secret));
    assert_eq!(
        stdout(&machine.run(&["env", "list", "site"])).trim(),
        "TOKEN"
    );
    let database = std::fs::read(machine.path().join(".deployr/deployr.db")).unwrap();
    assert!(
        !database
            .windows(secret.len())
            .any(|bytes| bytes == secret.as_bytes())
    );
    assert_eq!(code(&machine.run(&["env", "unset", "site", "TOKEN"])), 0);
    assert_eq!(stdout(&machine.run(&["env", "list", "site"])), "");
}

#[test]
fn ctrl_c_cancels_the_deployment() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "echo begun; sleep 60");
    let mut deploy = machine.start(&["deploy", site.path()]);
    deploy.wait_for_line("begun");
    deploy.signal(Signal::SIGINT);
    assert_eq!(deploy.wait(), Some(1));
    let shown = machine.run(&["list", "site", "--json"]);
    assert_eq!(json_lines(&shown)[0]["deployment"]["status"], "cancelled");
}

#[test]
fn a_killed_server_leaves_one_final_state() {
    let machine = Machine::new();
    let site = Repository::new(
        &machine,
        "site",
        "echo begun; sleep 2; mkdir dist; echo hi > dist/index.html",
    );
    let short = ["--lease-seconds", "1"];
    let server = machine.serve(&short);
    let mut deploy = machine.start(&["deploy", site.path()]);
    deploy.wait_for_line("begun");
    assert_eq!(server.stop(Signal::SIGKILL), None);

    let server = machine.serve(&short);
    assert_eq!(deploy.wait(), Some(0), "the follower sees it through");
    let deployments = json_lines(&machine.run(&["list", "site", "--json"]));
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0]["deployment"]["status"], "success");
    assert!(server.get("site.localhost", "/").trim().ends_with("hi"));
    wait_for(Duration::from_secs(5), || {
        let health = server.get("", "/healthz");
        health.contains(r#""running":0"#) && health.contains(r#""queued":0"#)
    });
}

#[test]
fn a_second_deployment_waits_for_the_first_command_and_is_carried_out() {
    let machine = Machine::new();
    let slow = Repository::new(
        &machine,
        "slow",
        "echo begun; sleep 1; mkdir dist; echo hi > dist/index.html",
    );
    let other = Repository::new(&machine, "other", "mkdir dist; echo hi > dist/index.html");
    let mut first = machine.start(&["deploy", slow.path()]);
    first.wait_for_line("begun");
    let second = machine.run(&["deploy", other.path()]);
    assert_eq!(code(&second), 0, "{}", stderr(&second));
    assert!(
        stdout(&second).contains("waiting for process"),
        "{}",
        stdout(&second)
    );
    assert_eq!(first.wait(), Some(0));
}

#[test]
fn completions_are_printed_and_need_no_data_directory() {
    let machine = Machine::new();
    let script = machine.run(&["completions", "bash"]);
    assert_eq!(code(&script), 0);
    assert!(stdout(&script).contains("_deployr()"));
    assert!(!machine.path().join(".deployr").exists());
}
