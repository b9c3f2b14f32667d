//! A deployment from the command to the page, and what becomes of it.

use nix::sys::signal::Signal;

use crate::machine::{Machine, Repository, code, event, json_lines, stderr, stdout};

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
    let (text, told) = (stdout(&failed), stderr(&failed));
    assert!(text.contains("[build] no such module"), "{text}");
    assert!(
        told.contains("site failed: ") && told.contains('3'),
        "{told}"
    );
    let why = told.trim_end().split_once("failed: ").unwrap().1;
    assert!(!text.contains(why), "once is enough: {text}");
    let kept = stdout(&machine.run(&["logs", "site"]));
    assert!(kept.contains(why), "{kept}");

    let json = machine.run(&["deploy", site.path(), "--json"]);
    assert_eq!(code(&json), 1);
    let finished = event(&json, "finished");
    assert_eq!(finished["deployment"]["status"], "failed");
    assert_eq!(finished["deployment"]["failure"]["code"], "build_failed");
}

#[test]
fn the_last_words_of_a_build_come_before_the_verdict() {
    let machine = Machine::new();
    let site = Repository::new(
        &machine,
        "site",
        "printf 'no such'; printf ' module'; exit 3",
    );
    let failed = machine.run(&["deploy", site.path()]);
    assert_eq!(code(&failed), 1, "{}", stderr(&failed));
    let text = stdout(&failed);
    assert!(text.ends_with("[build] no such module\n"), "{text}");
    let log = stdout(&machine.run(&["logs", "site"]));
    let (before, after) = log.split_once("\nfailed: ").unwrap();
    assert!(before.ends_with("\nno such module"), "{log}");
    assert_eq!(after.lines().count(), 1, "{log}");
}

#[test]
fn why_a_release_is_not_healthy_is_told_in_a_line() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; touch dist/other.html");
    let toml = "framework = \"static\"\nbuild = \"sh build.sh\"\n[health]\ndeadline_ms = 300\n";
    site.commit("deployr.toml", toml);
    let failed = machine.run(&["deploy", site.path(), "--output", "dist"]);
    assert_eq!(code(&failed), 1, "{}", stderr(&failed));
    let told = stderr(&failed);
    assert_eq!(told.matches("404 Not Found").count(), 1, "{told}");
    assert_eq!(told.matches("not healthy within").count(), 1, "{told}");
    assert!(!stdout(&failed).contains("not healthy within"));
}

#[test]
fn what_has_ended_cannot_be_cancelled() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; echo hi > dist/index.html");
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    let refused = machine.run(&["cancel", "site"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("has already ended: success"));
    let refused = machine.run(&["cancel", "site", "--json"]);
    assert_eq!(json_lines(&refused)[0]["error"]["kind"], "verdict");
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
    assert_eq!(code(&machine.run(&["deploy", "site"])), 0, "by its name");
    assert!(server.get("site.localhost", "/").ends_with("two"));

    let back = machine.run(&["rollback", "site"]);
    assert_eq!(code(&back), 0, "{}", stderr(&back));
    assert!(server.get("site.localhost", "/").ends_with("one"));
    let no_further = machine.run(&["rollback", "site"]);
    assert_eq!(code(&no_further), 2);
    let told = stderr(&no_further);
    assert!(
        told.contains("--to RELEASE") && told.contains("show site"),
        "{told}"
    );
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
    let known = machine.run(&["plan", "other"]);
    assert_eq!(code(&known), 0, "{}", stderr(&known));
    for what in [site.path(), "other"] {
        let plan = machine.run(&["plan", what, "--build", "make other"]);
        assert_eq!(code(&plan), 0, "{}", stderr(&plan));
        assert!(stdout(&plan).contains("make other"), "{}", stdout(&plan));
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
fn whoever_does_not_wait_for_the_end_is_told_that_it_is_no_answer() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "echo begun; trap '' TERM; sleep 60");
    let mut deploy = machine.start(&["deploy", site.path()]);
    deploy.wait_for_line("begun");
    deploy.signal(Signal::SIGINT);
    deploy.wait_for_line("once more");
    deploy.signal(Signal::SIGINT);
    assert_eq!(deploy.wait(), Some(2));
}

#[test]
fn a_deployment_goes_on_where_nobody_reads() {
    let machine = Machine::new();
    let slow = "echo begun; sleep 1; echo more; mkdir dist; echo hi > dist/index.html";
    let site = Repository::new(&machine, "site", slow);
    let mut deploy = machine.start(&["deploy", site.path()]);
    deploy.wait_for_line("begun");
    assert_eq!(deploy.wait_without_reading(), Some(0));
    let shown = machine.run(&["list", "site", "--json"]);
    assert_eq!(json_lines(&shown)[0]["deployment"]["status"], "success");
}

#[test]
fn a_server_that_is_not_let_finish_its_work_ends_with_a_fault() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "echo begun; sleep 60");
    let mut server = machine.start(&["serve", "--listen", "127.0.0.1:0"]);
    server.wait_for_line("healthz");
    let mut deploy = machine.start(&["deploy", site.path()]);
    deploy.wait_for_line("begun");
    server.signal(Signal::SIGTERM);
    server.wait_for_line("once more");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(2));
    let left = json_lines(&machine.run(&["list", "site", "--json"]));
    let (status, stage) = (
        &left[0]["deployment"]["status"],
        &left[0]["deployment"]["stage"],
    );
    assert_eq!(
        (status, stage),
        (&"queued".into(), &"queued".into()),
        "handed back"
    );
}

#[test]
fn who_wants_to_serve_is_told_that_another_works_and_does_not() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; echo hi > dist/index.html");
    let mut worker = machine.start(&["worker"]);
    worker.wait_for_line("working");
    let refused = machine.run(&["deploy", site.path(), "--serve"]);
    assert_eq!(code(&refused), 2);
    assert!(
        stderr(&refused).contains("does not serve"),
        "{}",
        stderr(&refused)
    );
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), Some(0));
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
fn a_paused_queue_begins_nothing_until_it_is_resumed() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", "mkdir dist; echo hi > dist/index.html");
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    assert_eq!(code(&machine.run(&["queue", "pause"])), 0);
    let mut waiting = machine.start(&["deploy", "site"]);
    waiting.wait_for_line("deployments are paused");
    let shown = json_lines(&machine.run(&["queue", "--json"])).remove(0);
    assert_eq!(shown["paused"], serde_json::json!(["deploy"]));
    assert_eq!(shown["queue"][0]["kind"], "deploy");
    assert_eq!(shown["queue"][0]["queued"], 1);
    let why = stdout(&machine.run(&["why", "site"]));
    assert!(
        why.contains("jobs of the kind `deploy` are paused"),
        "{why}"
    );
    let resumed = machine.run(&["queue", "resume"]);
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    assert_eq!(waiting.wait(), Some(0));
    let why = stdout(&machine.run(&["why", "site"]));
    assert!(why.contains("it is over: completed"), "{why}");
}
