//! The program of README.md, run as a new user would.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// 32 bytes that are all zero.
const KEYS: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn run(folder: &Path, repository: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deployr-embed-example"))
        .arg(repository)
        .current_dir(folder)
        .env("DEPLOYR_KEYS", KEYS)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn commit(repository: &Path, file: &str, text: &str) {
    std::fs::create_dir_all(repository).unwrap();
    std::fs::write(repository.join(file), text).unwrap();
    // A second `init` changes nothing.
    let user = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    for arguments in [
        &["-c", "init.defaultBranch=main", "init", "-q"][..],
        &["add", "-A"],
        &["commit", "-q", "-m", file],
    ] {
        let done = Command::new("git")
            .args(user)
            .args(arguments)
            .current_dir(repository)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status();
        assert!(done.unwrap().success(), "git {arguments:?}");
    }
}

#[test]
fn it_deploys_again_and_says_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let blog = folder.path().join("blog");
    let page = folder
        .path()
        .join("site-data/sites/blog/current/index.html");
    for text in ["one", "two"] {
        commit(&blog, "index.html", text);
        let done = run(folder.path(), blog.to_str().unwrap());
        assert!(done.status.success(), "{}", stderr(&done));
        assert_eq!(std::fs::read_to_string(&page).unwrap(), text);
    }

    commit(
        &blog,
        "deployr.toml",
        "framework = 'static'\nbuild = 'exit 3'\n",
    );
    let failed = run(folder.path(), blog.to_str().unwrap());
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(stderr(&failed), "error: blog is not live: failed\n");
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "two");

    let refused = run(folder.path(), "ftp://example.com/blog.git");
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(told.starts_with("error: repo_url is invalid"), "{told}");
}

#[test]
fn a_store_that_cannot_be_opened_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("site-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("deployr.db"), "this is no database at all").unwrap();
    let refused = run(folder.path(), "https://git.example.com/acme/blog.git");
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(
        told.starts_with("error: ") && told.contains("deployr.db"),
        "{told}"
    );
}

#[test]
fn the_readme_shows_the_same_program() {
    let program = include_str!("../src/main.rs");
    let code = &program[program.find("\nuse std::").unwrap() + 1..];
    let readme = include_str!("../../../README.md");
    let shown = format!("```rust,no_run\n{code}```\n");
    assert!(
        readme.contains(&shown),
        "copy examples/embed/src/main.rs into README.md"
    );
}
