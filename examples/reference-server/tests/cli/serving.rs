//! The server, and those who leave the work to it.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::machine::{Machine, Repository, code, json_lines, stderr, stdout, wait_for};

#[test]
fn a_port_in_use_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let machine = Machine::new();
    let refused = machine.run(&["serve", "--listen", &address]);
    assert_eq!(code(&refused), 2);
    assert!(!machine.path().join(".deployr").exists(), "nothing is left");
    let text = stderr(&refused);
    assert!(
        text.contains("in use") && text.contains("--listen"),
        "{text}"
    );
    assert_eq!(text.matches("choose another").count(), 1, "{text}");
}

#[test]
fn a_server_says_what_it_carries_out() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; echo hi > dist/index.html");
    let broken = Repository::new(&machine, "broken", "exit 3");
    let mut server = machine.start(&["serve", "--listen", "127.0.0.1:0"]);
    server.wait_for_line("health");
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    assert_eq!(code(&machine.run(&["deploy", broken.path()])), 1);
    let refused = machine.run(&["rollback", "nosuch"]);
    assert_eq!((code(&refused), stdout(&refused)), (2, String::new()));
    server.signal(Signal::SIGTERM);
    let said = server.rest();
    let told: Vec<_> = said
        .lines()
        .filter(|line| line.contains(": deployment 1 "))
        .collect();
    assert_eq!(told.len(), 4, "{said}");
    assert_eq!(told[0], "site: deployment 1 begins");
    assert!(
        told[1].starts_with("site: deployment 1 is live after "),
        "{said}"
    );
    assert_eq!(told[2], "broken: deployment 1 begins");
    assert!(
        told[3].starts_with("broken: deployment 1 failed after "),
        "{said}"
    );

    let mut worker = machine.start(&["worker", "--json"]);
    worker.wait_for_line("working");
    assert_eq!(code(&machine.run(&["deploy", "site"])), 0);
    let line = worker.wait_for_line("\"started\"");
    let begun: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&begun["project"], &begun["number"]),
        (&"site".into(), &2.into())
    );
    let line = worker.wait_for_line("\"finished\"");
    let ended: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&ended["id"], &ended["status"]),
        (&begun["id"], &"success".into())
    );
    assert!(ended["milliseconds"].is_number(), "{line}");
}

#[test]
fn only_what_is_live_is_said_to_be_served() {
    let machine = Machine::new();
    let live = Repository::new(&machine, "live", "mkdir dist; echo hi > dist/index.html");
    let broken = Repository::new(&machine, "broken", "exit 1");
    assert_eq!(code(&machine.run(&["deploy", live.path()])), 0);
    assert_eq!(code(&machine.run(&["deploy", broken.path()])), 1);
    let mut server = machine.start(&["serve", "--listen", "127.0.0.1:0"]);
    server.wait_for_line("http://live.localhost");
    server.signal(Signal::SIGTERM);
    assert!(!server.rest().contains("broken"));
}

#[test]
fn what_is_there_can_be_read_where_nothing_can_be_written() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; echo hi > dist/index.html");
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    let read_only = |arguments: &str| {
        let mount = "mount --bind .deployr .deployr && mount -o remount,ro,bind .deployr";
        let program = env!("CARGO_BIN_EXE_deployr");
        let line = format!("{mount} && exec {program} {arguments}");
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &line]);
        command.current_dir(machine.path()).output().unwrap()
    };
    for arguments in [
        "list",
        "show site",
        "logs site",
        "logs -f site",
        "env list site",
    ] {
        let read = read_only(arguments);
        assert_eq!(code(&read), 0, "{arguments}: {}", stderr(&read));
        let before = machine.run(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(
            stdout(&read).lines().count(),
            stdout(&before).lines().count()
        );
    }
    let refused = read_only("env set site A=1");
    assert_eq!(code(&refused), 2);
    assert!(
        stderr(&refused).contains("reading only"),
        "{}",
        stderr(&refused)
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
fn a_killed_server_leaves_one_final_state() {
    let machine = Machine::new();
    let site = Repository::new(
        &machine,
        "site",
        "echo begun; sleep 2; mkdir dist; echo hi > dist/index.html",
    );
    let server = machine.serve(&[]);
    let mut deploy = machine.start(&["deploy", site.path()]);
    deploy.wait_for_line("begun");
    assert_eq!(server.stop(Signal::SIGKILL), None);

    let server = machine.serve(&[]);
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
fn metrics_tell_of_queue_jobs_stages_logs_and_store() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; echo hi > dist/index.html");
    let server = machine.serve(&["--metrics-listen", "127.0.0.1:0"]);
    let deployed = machine.run(&["deploy", site.path()]);
    assert_eq!(code(&deployed), 0, "{}", stderr(&deployed));
    let wanted = [
        r#"deployr_queue_jobs{kind="deploy",state="running"}"#,
        "deployr_workers 1",
        r#"deployr_jobs_total{kind="deploy",end="completed"} 1"#,
        r#"deployr_job_wait_seconds_bucket{kind="deploy","#,
        r#"deployr_deployments_total{status="success"} 1"#,
        r#"deployr_stage_seconds_bucket{stage="build","#,
        "deployr_log_lines_total",
        "deployr_log_lag_seconds_bucket",
        r#"deployr_store_seconds_bucket{call="exchange","#,
    ];
    // The queue is looked at every five seconds.
    let mut told = String::new();
    wait_for(Duration::from_secs(20), || {
        told = server.metrics();
        wanted.iter().all(|one| told.contains(one))
    });
    assert!(told.starts_with("HTTP/1.0 200"), "{told}");
    assert!(
        !told.contains("site"),
        "nothing of tenants or projects: {told}"
    );
}
