use std::fs;
use std::sync::Arc;

use futures::future::join_all;

use super::bench::{Bench, branch, page};
use super::tree::{Entry, Tree, leads_out, read_tree};
use crate::error::{StepError, VerdictCode};
use crate::testing::suite::check_list;

check_list! { Arc<Bench>;
    a_checkout_is_the_tree_of_the_commit_and_nothing_else,
    an_earlier_commit_is_checked_out_too,
    a_checkout_is_the_same_each_time,
    a_folder_that_is_not_empty_is_refused_and_left_alone,
    no_link_leads_out_of_the_folder,
    checkouts_at_the_same_time_do_not_mix,
    what_was_forgotten_is_fetched_again,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

/// One of each kind.
fn everything() -> Tree {
    let file = |content: &[u8]| Entry::File(content.to_vec());
    let link = |target: &str| Entry::Link(target.to_owned());
    let entries = [
        ("index.html", file(b"<h1>Hi</h1>\n")),
        ("empty", file(b"")),
        ("bytes.bin", file(&[0, 255, 13, 10, 128])),
        ("crlf.txt", file(b"one\r\ntwo\r\n")),
        ("bin/run", Entry::Program(b"#!/bin/sh\n".to_vec())),
        ("a/b/c/deep", file(b"deep")),
        ("a/\u{fc}n\u{ef} \u{2713}.txt", file(b"name")),
        (".hidden/file", file(b"hidden")),
        (".gitignore", file(b"empty\nbin\n")),
        (
            ".gitattributes",
            file(b"* text eol=crlf\n*.bin export-ignore\n"),
        ),
        ("a/up", link("../index.html")),
        ("a/folder", link("b/c")),
        ("dangling", link("not-there")),
    ];
    entries.map(|(path, entry)| (path.to_owned(), entry)).into()
}

async fn a_checkout_is_the_tree_of_the_commit_and_nothing_else(b: Arc<Bench>) {
    let tree = everything();
    let id = b.push("main", &tree).await;
    assert_eq!(b.found(&branch("main")).await, id);
    assert_eq!(b.checked_out(&id).await, tree);
}

async fn an_earlier_commit_is_checked_out_too(b: Arc<Bench>) {
    let old = b.push("main", &everything()).await;
    let new = b.push("main", &page("new")).await;
    assert_eq!(b.found(&branch("main")).await, new);
    assert_eq!(b.checked_out(&new).await, page("new"));
    assert_eq!(b.checked_out(&old).await, everything());
}

async fn a_checkout_is_the_same_each_time(b: Arc<Bench>) {
    let id = b.push("main", &everything()).await;
    b.found(&branch("main")).await;
    let first = b.checked_out(&id).await;
    assert_eq!(b.checked_out(&id).await, first);
    let restarted = Bench::new(Arc::clone(&b.harness)).await;
    assert_eq!(restarted.checked_out(&id).await, first);
}

async fn a_folder_that_is_not_empty_is_refused_and_left_alone(b: Arc<Bench>) {
    let id = b.push("main", &page("new")).await;
    b.found(&branch("main")).await;
    for name in ["index.html", "other", ".git"] {
        let folder = b.harness.folder().await;
        fs::write(folder.join(name), "mine").unwrap();
        match b.checkout(&id, &folder, &b.step.ctx).await {
            Err(StepError::Fault(fault)) if !fault.retryable => {}
            other => panic!("with `{name}` in it, it must be refused for good, not {other:?}"),
        }
        let left = Tree::from([(name.to_owned(), Entry::File(b"mine".to_vec()))]);
        assert_eq!(read_tree(&folder).unwrap(), left);
    }
    assert_eq!(b.checked_out(&id).await, page("new"));
}

/// The provider may refuse the commit, or leave such links out; it may not write them.
async fn no_link_leads_out_of_the_folder(b: Arc<Bench>) {
    for (path, target) in [
        ("absolute", "/etc/passwd"),
        ("up", ".."),
        ("a/up", "../../secret"),
        ("a/winding", "../a/../../secret"),
    ] {
        let mut tree = page("one");
        tree.insert(path.to_owned(), Entry::Link(target.to_owned()));
        let id = b.push("main", &tree).await;
        b.found(&branch("main")).await;
        let folder = b.harness.folder().await;
        match b.checkout(&id, &folder, &b.step.ctx).await {
            Ok(_) => {}
            Err(StepError::Verdict(verdict)) if verdict.code == VerdictCode::RepositoryRefused => {
                assert!(verdict.message.contains(path), "{verdict}");
            }
            other => panic!("{path} -> {target}: {other:?}"),
        }
        for (path, entry) in read_tree(&folder).unwrap() {
            let escapes = matches!(&entry, Entry::Link(target) if leads_out(&path, target));
            assert!(!escapes, "`{path}` leads out of the checkout: {entry:?}");
        }
    }
}

async fn checkouts_at_the_same_time_do_not_mix(b: Arc<Bench>) {
    let mut pushed = Vec::new();
    for n in 0..4 {
        let mut tree = page(&format!("{n}"));
        for file in 0..20 {
            let content = format!("{n} {file}").into_bytes();
            tree.insert(format!("d{n}/f{file}"), Entry::File(content));
        }
        pushed.push((b.push("main", &tree).await, tree));
    }
    let tasks = (0..6).map(|n: usize| {
        let (b, (id, tree)) = (Arc::clone(&b), pushed[n % pushed.len()].clone());
        tokio::spawn(async move {
            // Fetching goes on meanwhile.
            b.found(&branch("main")).await;
            assert_eq!(b.checked_out(&id).await, tree);
        })
    });
    for done in join_all(tasks).await {
        done.unwrap();
    }
}

async fn what_was_forgotten_is_fetched_again(b: Arc<Bench>) {
    let url = b.source().url;
    b.provider.forget(&url).await.unwrap();
    let id = b.push("main", &everything()).await;
    for _ in 0..2 {
        assert_eq!(b.found(&branch("main")).await, id);
        assert_eq!(b.checked_out(&id).await, everything());
        b.provider.forget(&url).await.unwrap();
    }
    b.provider.forget(&url).await.unwrap();
}
