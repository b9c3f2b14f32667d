//! What breaks on a Friday evening.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::machine::{Machine, Repository, code, json_lines, stderr, stdout};

/// A build that says so much.
fn talkative(machine: &Machine, lines: u32) -> Repository {
    let text = "a line as long as lines of builds often are, which is some eighty bytes";
    let build = format!(
        "mkdir -p dist; echo hi > dist/index.html; i=0; \
         while [ $i -lt {lines} ]; do echo \"$i {text}\"; i=$((i+1)); done"
    );
    Repository::new(machine, "site", &build)
}

#[test]
fn a_full_disk_ends_a_command_and_what_was_asked_for_goes_on_later() {
    let machine = Machine::new();
    let site = talkative(&machine, 60_000);
    let program = env!("CARGO_BIN_EXE_deployr");
    // The disk is as private as its mount, so what is on it moves to a larger one for
    // the second command.
    let line = format!(
        "mkdir small && mount -t tmpfs -o size=3m tmpfs small || exit 99
         {program} --data small/data --lease-seconds 1 deploy {}; ended=$?
         cp -a small/data large; exit $ended",
        site.path()
    );
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &line]);
    let ended = command.current_dir(machine.path()).output().unwrap();
    let told = stderr(&ended);
    assert_eq!(code(&ended), 2, "{told}");
    let last = told.lines().rev().take(2).collect::<Vec<_>>();
    assert!(last[1].contains("has taken no write for"), "{told}");
    assert!(last[1].contains("disk is full"), "{told}");
    assert!(last[0].contains("goes on"), "{told}");

    let again = machine.run(&["--data", "large", "deploy", site.path()]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    let deployments = json_lines(&machine.run(&["--data", "large", "list", "site", "--json"]));
    let first = deployments.last().unwrap()["deployment"]["id"]
        .as_str()
        .unwrap();
    let first = machine.run(&["--data", "large", "logs", first]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    let text = stdout(&first);
    assert!(
        text.contains("begun again, attempt 2 of") && text.contains("the worker was lost"),
        "{}",
        text.lines()
            .filter(|line| !line.contains("often are"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn what_a_killed_server_had_in_hand_goes_on_at_once_with_the_next() {
    let machine = Machine::new();
    let build = "echo at work; sleep 1; mkdir dist; echo hi > dist/index.html";
    let site = Repository::new(&machine, "site", build);
    // A lease that outlives the test: nobody waits for it.
    let server = machine.serve(&["--lease-seconds", "3600"]);
    let mut client = machine.start(&["deploy", site.path()]);
    client.wait_for_line("at work");
    assert_eq!(server.stop(Signal::SIGKILL), None);
    let server = machine.serve(&["--lease-seconds", "3600"]);
    client.wait_for_line("begun again, attempt 2 of");
    assert_eq!(client.wait(), Some(0));
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
}
