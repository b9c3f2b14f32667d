//! A project's settings, and what it takes to become a project.

use crate::machine::{Machine, Repository, code, json_lines, stderr, stdout};

const PAGE: &str = "mkdir dist; echo hi > dist/index.html";

fn settings(machine: &Machine, project: &str) -> serde_json::Value {
    let shown = machine.run(&["show", project, "--json"]);
    assert_eq!(code(&shown), 0, "{}", stdout(&shown));
    json_lines(&shown)[0]["project"]["settings"].clone()
}

#[test]
fn what_deploy_is_told_is_kept_shown_and_taken_back() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", PAGE);
    std::fs::create_dir(format!("{}/app", site.path())).unwrap();
    site.commit("app/index.html", "in a folder");
    let deploy = |flags: &[&str]| machine.run(&[&["deploy", site.path()], flags].concat());
    assert_eq!(code(&deploy(&[])), 0);

    let told = deploy(&["--root", "app", "--build", "true", "--output", "."]);
    assert_eq!(code(&told), 0, "{}", stderr(&told));
    assert!(
        stdout(&told).contains("site: root is app from now on"),
        "{}",
        stdout(&told)
    );
    assert!(!stdout(&deploy(&[])).contains("from now on"));
    let shown = stdout(&machine.run(&["show", "site"]));
    for line in ["root        app", "build       true", "output      ."] {
        assert!(shown.contains(line), "{shown}");
    }

    let told = deploy(&["--unset", "root,output", "--build", "sh build.sh"]);
    assert_eq!(code(&told), 0, "{}", stderr(&told));
    let told = stdout(&told);
    assert!(told.contains("site: root is no longer set"), "{told}");
    assert!(told.contains("site: build is sh build.sh from"), "{told}");
    let left = settings(&machine, "site");
    assert_eq!(left["build"], "sh build.sh");
    assert_eq!((&left["root"], &left["output"]), (&().into(), &().into()));
}

#[test]
fn a_variable_that_is_not_set_cannot_be_unset() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", PAGE);
    assert_eq!(
        code(&machine.run(&["deploy", site.path(), "--env", "A=1"])),
        0
    );
    let refused = machine.run(&["env", "unset", "site", "A", "NOPE"]);
    assert_eq!(code(&refused), 1);
    let told = stderr(&refused);
    assert!(told.contains("site has no variable NOPE"), "{told}");
    assert_eq!(stdout(&machine.run(&["env", "list", "site"])), "A\n");
    assert_eq!(code(&machine.run(&["env", "unset", "site", "A"])), 0);
    assert_eq!(stdout(&machine.run(&["env", "list", "site"])), "");
}

#[test]
fn a_project_goes_by_its_id_too() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", PAGE);
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    let shown = json_lines(&machine.run(&["show", "site", "--json"]));
    let id = shown[0]["project"]["id"].as_str().unwrap();
    for arguments in [
        &["show", id][..],
        &["logs", id],
        &["list", id],
        &["env", "list", id],
        &["plan", id],
        &["deploy", id],
        &["rollback", id],
    ] {
        let done = machine.run(arguments);
        assert_eq!(code(&done), 0, "{arguments:?}: {}", stderr(&done));
    }
    assert_eq!(json_lines(&machine.run(&["list", "--json"])).len(), 1);
    let mut other = id.to_owned();
    other.replace_range(id.len() - 1.., if id.ends_with('0') { "1" } else { "0" });
    let missing = machine.run(&["show", &other]);
    assert_eq!(code(&missing), 2);
    assert!(stderr(&missing).contains(&other), "{}", stderr(&missing));
}

#[test]
fn what_is_not_valid_is_not_kept() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", PAGE);
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    let before = settings(&machine, "site");
    for flags in [
        ["--framework", "nextt"],
        ["--root", "../up"],
        ["--target", "moon"],
        ["--health-path", "up"],
        ["--unset", "everything"],
    ] {
        let all = [&["deploy", site.path(), "--env", "A=1"], &flags[..]].concat();
        let refused = machine.run(&all);
        assert_eq!(code(&refused), 64, "{flags:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(flags[1]), "{}", stderr(&refused));
    }
    assert_eq!(settings(&machine, "site"), before);
    assert_eq!(stdout(&machine.run(&["env", "list", "site"])), "");
}

#[test]
fn what_is_no_repository_leaves_nothing_behind() {
    let machine = Machine::new();
    let folder = machine.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for repository in [folder.to_str().unwrap(), "https://no-such-host.invalid/x"] {
        let refused = machine.run(&["deploy", repository]);
        assert!([1, 2].contains(&code(&refused)), "{}", stderr(&refused));
        assert!(
            stderr(&refused).contains(repository),
            "{}",
            stderr(&refused)
        );
        assert!(!machine.path().join(".deployr").exists());
    }

    let site = Repository::new(&machine, "site", PAGE);
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    let other = Repository::new(&machine, "other", PAGE);
    for flags in [
        [folder.to_str().unwrap(), "--name", "new"],
        [folder.to_str().unwrap(), "--name", "site"],
        [other.path(), "--branch", "nope"],
        [other.path(), "--tag", "v1"],
    ]
    .map(Vec::from)
    .into_iter()
    .chain([vec![other.path(), "--tag", "v1", "--name", "site"]])
    {
        let refused = machine.run(&[&["deploy"], &flags[..]].concat());
        assert_eq!(code(&refused), 1, "{flags:?}: {}", stderr(&refused));
    }
    assert_eq!(json_lines(&machine.run(&["list", "--json"])).len(), 1);
    let source = settings(&machine, "site")["source"].clone();
    assert!(source.as_str().unwrap().ends_with("/site"), "{source}");
}

#[test]
fn a_new_project_follows_the_branch_of_its_repository() {
    let machine = Machine::new();
    let site = Repository::new(&machine, "site", PAGE);
    assert_eq!(code(&machine.run(&["deploy", site.path()])), 0);
    assert_eq!(settings(&machine, "site")["branch"], "trunk");

    // As it is on a build server: no branch, only a commit.
    let git = git2::Repository::open(site.path()).unwrap();
    let head = git.head().unwrap().target().unwrap();
    git.set_head_detached(head).unwrap();
    let detached = ["deploy", site.path(), "--name", "detached"];
    let refused = machine.run(&detached);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused).contains("--branch"),
        "{}",
        stderr(&refused)
    );
    let commit = head.to_string();
    let by_id = [&detached[..], &["--commit", &commit]].concat();
    assert_eq!(code(&machine.run(&by_id)), 0);
}
