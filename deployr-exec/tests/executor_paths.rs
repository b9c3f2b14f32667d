//! The corpus's paths as files of a release, and as what is shared between releases.
#![cfg(feature = "local-executor")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod executor_support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use deployr_core::error::StepError;
use deployr_core::executor::Executor;
use executor_support::*;

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_name_arrive_and_nothing_beside_them() {
    let host = Host::new();
    let wanted = corpus::file_names();
    let mut files: Vec<(&str, &str)> = wanted.iter().map(|name| (name.as_str(), "x")).collect();
    files.push(("index.html", "home"));
    let artifact = host.files(&files);
    host.deploy(&host.site(1), &artifact, 1).await.unwrap();
    let mut wanted: BTreeSet<String> = wanted.into_iter().collect();
    // With what the executor notes of it.
    wanted.extend(["index.html", ".deployr-release"].map(str::to_owned));
    assert_eq!(names(&host.path("current")), wanted);
    assert_eq!(
        names(&host.path("releases")),
        BTreeSet::from(["1".to_owned()])
    );

    // Nor does any of them stand in the way of the next, or of its removal.
    let artifact = host.files(&[("index.html", "next")]);
    host.deploy(&host.site(2), &artifact, 2).await.unwrap();
    host.executor.prune(&host.slug, &[2]).await.unwrap();
    assert_eq!(
        names(&host.path("releases")),
        BTreeSet::from(["2".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_stays_below_the_project() {
    for path in corpus::accepted() {
        let host = Host::new();
        let mut spec = host.site(1);
        spec.recipe.shared = vec![path.clone()];
        let artifact = host.files(&[("index.html", "home")]);
        host.deploy(&spec, &artifact, 1).await.unwrap();
        let shared = host.path("shared").join(path.as_path());
        let seen = host.path("current").join(path.as_path());
        assert_eq!(
            fs::canonicalize(seen).unwrap(),
            fs::canonicalize(host.root())
                .unwrap()
                .join(shared.strip_prefix(host.root()).unwrap()),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_does_not_follow_a_link_out() {
    let outside = tempfile::tempdir().unwrap();
    for path in corpus::accepted() {
        let parts: Vec<_> = path.as_path().components().collect();
        // Where it is one part, the link is what is replaced.
        let [first, _, ..] = parts.as_slice() else {
            continue;
        };
        let host = Host::new();
        let artifact = host.files(&[("index.html", "home")]);
        symlink(outside.path(), host.folder(&artifact).join(first)).unwrap();
        let mut spec = host.site(1);
        spec.recipe.shared = vec![path.clone()];
        let refused = host.executor.prepare(&spec, &artifact, &context()).await;
        assert!(
            matches!(refused, Err(StepError::Fault(fault)) if !fault.retryable),
            "{path}"
        );
        assert_eq!(names(outside.path()), BTreeSet::new(), "{path}");
    }
}
