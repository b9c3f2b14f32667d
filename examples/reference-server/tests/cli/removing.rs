//! Removing a project, and deploying one by a timetable.

use std::fs;

use crate::machine::{Machine, Repository, code, event, json_lines, stderr, stdout};

fn site(machine: &Machine) -> Repository {
    Repository::new(machine, "site", "mkdir dist; echo hello > dist/index.html")
}

#[test]
fn a_project_is_removed_by_its_name_and_its_name_is_free() {
    let machine = Machine::new();
    let repository = site(&machine);
    assert_eq!(code(&machine.run(&["deploy", repository.path()])), 0);
    let sites = machine.path().join(".deployr/sites");
    assert!(sites.join("site").is_dir());
    assert_eq!(mirrors(&machine), 1);

    let asked = machine.run(&["remove", "site"]);
    assert_eq!(code(&asked), 64, "nobody can be asked");
    assert!(stderr(&asked).contains("--yes"), "{}", stderr(&asked));
    assert_eq!(code(&machine.run(&["remove", "other", "--yes"])), 2);

    let removed = machine.run(&["remove", "site", "--yes", "--json"]);
    assert_eq!(code(&removed), 0, "{}", stdout(&removed));
    assert_eq!(event(&removed, "removed")["project"], "site");
    assert!(!sites.join("site").exists());
    assert_eq!(mirrors(&machine), 0);
    assert_eq!(code(&machine.run(&["show", "site"])), 2);
    assert!(stdout(&machine.run(&["list"])).contains("no projects yet"));

    let again = machine.run(&["deploy", repository.path(), "--json"]);
    assert_eq!(code(&again), 0);
    let ended = json_lines(&again);
    let created = ended.iter().find(|line| line["event"] == "created");
    assert_eq!(created.unwrap()["deployment"]["number"], 1);
}

fn mirrors(machine: &Machine) -> usize {
    let folder = fs::read_dir(machine.path().join(".deployr/mirrors")).unwrap();
    let entries = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name.ends_with(".git")).count()
}

#[test]
fn a_server_takes_the_site_away_and_keeps_what_it_shares_unless_it_is_purged() {
    let machine = Machine::new();
    let repository = site(&machine);
    repository.commit(
        "deployr.toml",
        "framework = \"static\"\nbuild = \"sh build.sh\"\noutput = \"dist\"\nshared = [\"uploads\"]\n",
    );
    let server = machine.serve(&[]);
    let get = || server.get("site.localhost", "/");
    assert_eq!(code(&machine.run(&["deploy", repository.path()])), 0);
    assert!(get().ends_with("hello\n"), "{}", get());
    let upload = machine.path().join(".deployr/sites/site/shared/uploads/a");
    fs::write(&upload, "by the app").unwrap();

    assert_eq!(code(&machine.run(&["remove", "site", "--yes"])), 0);
    assert!(get().starts_with("HTTP/1.0 404"), "{}", get());
    assert_eq!(fs::read_to_string(&upload).unwrap(), "by the app");
    assert_eq!(code(&machine.run(&["deploy", repository.path()])), 0);
    assert!(get().ends_with("hello\n"), "{}", get());
    assert_eq!(fs::read_to_string(&upload).unwrap(), "by the app");
    assert_eq!(
        code(&machine.run(&["remove", "site", "--yes", "--purge"])),
        0
    );
    assert!(!machine.path().join(".deployr/sites/site").exists());
}

#[test]
fn a_schedule_is_added_listed_and_removed() {
    let machine = Machine::new();
    let repository = site(&machine);
    assert_eq!(code(&machine.run(&["deploy", repository.path()])), 0);
    let add = |name: &str, project: &str, when: &str| {
        machine.run(&["schedule", "add", name, project, when, "--json"])
    };
    assert_eq!(code(&add("nightly", "site", "every night")), 64);
    assert_eq!(code(&add("nightly", "site", "0 4 * * * Mars/Olympus")), 64);
    assert_eq!(code(&add("nightly", "other", "0 4 * * *")), 2);
    let added = add("nightly", "site", "0 4 * * * Europe/Vienna");
    assert_eq!(code(&added), 0);
    let added = event(&added, "schedule");
    assert_eq!(added["project"], "site");
    assert!(added["next_at"].is_string(), "{added}");

    let listed = stdout(&machine.run(&["schedule", "list"]));
    assert!(listed.contains("0 4 * * * Europe/Vienna"), "{listed}");
    assert_eq!(code(&machine.run(&["schedule", "remove", "weekly"])), 2);
    assert_eq!(code(&machine.run(&["schedule", "remove", "nightly"])), 0);
    assert!(stdout(&machine.run(&["schedule", "list"])).contains("no schedules yet"));

    // Those of a project go with it.
    assert_eq!(code(&add("nightly", "site", "@daily")), 0);
    assert_eq!(code(&machine.run(&["remove", "site", "--yes"])), 0);
    assert!(stdout(&machine.run(&["schedule", "list"])).contains("no schedules yet"));
}

#[test]
fn a_project_follows_another_branch_from_then_on() {
    let machine = Machine::new();
    let repository = site(&machine);
    assert_eq!(code(&machine.run(&["deploy", repository.path()])), 0);
    repository.branch("next");
    let follow = |branch: &str| machine.run(&["deploy", "site", "--follow", branch]);
    assert_eq!(code(&follow("not-there")), 1);
    assert_eq!(branch_of(&machine), "trunk");
    assert_eq!(code(&follow("next")), 0);
    assert_eq!(branch_of(&machine), "next");
    let again = machine.run(&["deploy", "site", "--json"]);
    assert_eq!(code(&again), 0);
    let created = event(&again, "created");
    let cause = created["deployment"]["cause"].to_string();
    assert!(cause.contains("next"), "{cause}");
}

fn branch_of(machine: &Machine) -> String {
    let shown = machine.run(&["show", "site", "--json"]);
    let line = &json_lines(&shown)[0];
    line["project"]["settings"]["branch"]
        .as_str()
        .unwrap()
        .to_owned()
}
