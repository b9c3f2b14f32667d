//! What is not valid, not there, or not to be had.

use crate::machine::{Machine, code, json_lines, stderr, stdout};

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
        (vec!["deploy", "./nosuch"], "no repository at ./nosuch"),
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
    let json = machine.run(&["deploy", "--json"]);
    assert_eq!(code(&json), 64);
    let told = json_lines(&json)[0]["error"]["message"].clone();
    assert!(told.as_str().unwrap().contains("<REPOSITORY>"), "{told}");
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
    let data = checks.iter().find(|line| line["check"] == "data directory");
    assert_eq!(data.unwrap()["state"], "lacking");
    assert_eq!(std::fs::read_dir(machine.path()).unwrap().count(), 0);
}

#[test]
fn completions_are_printed_and_need_no_data_directory() {
    let machine = Machine::new();
    let script = machine.run(&["completions", "bash"]);
    assert_eq!(code(&script), 0);
    assert!(stdout(&script).contains("_deployr()"));
    assert!(!machine.path().join(".deployr").exists());
}
