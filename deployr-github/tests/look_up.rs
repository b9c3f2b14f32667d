//! Asking a repository before anything is made of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::source::SourceProvider;
use support::http::{Mode, Server};
use support::{Lab, branch, context, git, source, tag, verdict};

#[tokio::test]
async fn the_default_branch_is_the_one_that_head_stands_for() {
    let lab = Lab::new();
    git(&lab.repo("app"), &["checkout", "-q", "-b", "master"]);
    let (git, ctx) = (lab.git_source(), context());
    let server = Server::start(lab.folder.path());
    for from in [lab.local("app"), source(server.url("app"))] {
        let found = git.look_up(&from, None, &ctx).await.unwrap();
        assert_eq!(found, branch("master"), "{}", from.url);
        for wanted in [branch("main"), tag("v1")] {
            let found = git.look_up(&from, Some(&wanted), &ctx).await.unwrap();
            assert_eq!(found, wanted);
        }
    }
    assert!(!lab.mirrors().exists(), "nothing was fetched");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let lab = Lab::new();
    let (git, ctx) = (lab.git_source(), context());
    let server = Server::start(lab.folder.path());
    for from in [lab.local("app"), source(server.url("app"))] {
        let refused = git.look_up(&from, Some(&branch("mian")), &ctx).await;
        let words = verdict(refused, VerdictCode::RefNotFound).message;
        assert!(words.contains("its branches are: main"), "{words}");
    }
    let server_is_away = source(server.url("app"));
    server.mode(Mode::Status(503));
    match git.look_up(&server_is_away, None, &ctx).await {
        Err(StepError::Fault(fault)) if fault.retryable => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_branch_to_stand_for_one_has_to_be_named() {
    let lab = Lab::new();
    lab.make("empty");
    let (git_source, ctx) = (lab.git_source(), context());
    let refused = git_source.look_up(&lab.local("empty"), None, &ctx).await;
    let words = verdict(refused, VerdictCode::RefNotFound).message;
    assert!(words.contains("is empty"), "{words}");

    lab.commit("app", "index.html", "two");
    git(&lab.repo("app"), &["checkout", "-q", "v1^{commit}"]);
    let refused = git_source.look_up(&lab.local("app"), None, &ctx).await;
    let words = verdict(refused, VerdictCode::RefNotFound).message;
    assert!(words.contains("name one"), "{words}");
}

#[tokio::test]
async fn a_name_that_is_not_text_stands_in_nobodys_way() {
    use std::os::unix::ffi::OsStrExt;
    let lab = Lab::new();
    let refs = lab.repo("app").join(".git/refs/heads");
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff");
    std::fs::copy(refs.join("main"), refs.join(odd)).unwrap();
    let (git, from, ctx) = (lab.git_source(), lab.local("app"), context());
    let found = git.look_up(&from, Some(&branch("main")), &ctx).await;
    assert_eq!(found.unwrap(), branch("main"));
}
