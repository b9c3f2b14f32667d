use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use deployr_core::executor::{Endpoint, Executor};
use deployr_testkit::cpanel::Trouble;

use crate::corpus;
use crate::support::*;

pub(crate) fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_arrives_as_it_was_built() {
    let lab = Lab::unvisited();
    let artifact = lab.files(&[
        ("index.html", "home"),
        ("bin/run.sh", "#!/bin/sh\n"),
        ("kept/a", "first"),
    ]);
    let run = folder(&artifact).join("bin/run.sh");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o4777)).unwrap();
    symlink("bin/run.sh", folder(&artifact).join("run")).unwrap();
    let mut spec = site(1);
    spec.recipe.shared = paths(&["storage/logs", "settings.ini", "kept"]);
    spec.recipe.writable = paths(&["cache"]);
    let endpoint = lab.deploy(&spec, &artifact).await.unwrap();

    let release = lab.path(&format!("releases/1-{COMMIT}"));
    let served = Endpoint::Served {
        path: release.clone(),
        address: None,
    };
    assert_eq!(endpoint, served);
    assert_eq!(lab.read("current/index.html"), "home");
    let mode = |path: &str| fs::metadata(lab.path(path)).unwrap().permissions().mode() & 0o7777;
    // PHP there refuses what others may write to.
    assert_eq!(
        (mode("current/run"), mode("current/index.html")),
        (0o755, 0o644)
    );
    assert_eq!(mode("shared/settings.ini"), 0o600);
    assert!(lab.path("current/cache").is_dir());
    assert_eq!(lab.read("shared/kept/a"), "first");
    for path in ["storage/logs", "settings.ini", "kept"] {
        let real = fs::canonicalize(lab.path("shared").join(path)).unwrap();
        assert_eq!(fs::canonicalize(release.join(path)).unwrap(), real);
    }
    assert_eq!(lab.read("turn"), "1 1\n");

    // What is shared stays as the first release has made it.
    fs::write(lab.path("shared/kept/a"), "changed").unwrap();
    let next = lab.files(&[("index.html", "next"), ("kept/a", "second")]);
    spec = site(2);
    spec.recipe.shared = paths(&["kept"]);
    lab.deploy(&spec, &next).await.unwrap();
    assert_eq!(lab.read("current/kept/a"), "changed");
    let project = ["current", "incoming", "releases", "shared", "turn"];
    assert_eq!(names(&lab.path("")), project.map(str::to_owned).into());
    assert!(names(&lab.path("incoming")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_name_arrive_and_nothing_beside_them() {
    let lab = Lab::unvisited();
    let wanted = corpus::file_names();
    let mut files: Vec<(&str, &str)> = wanted.iter().map(|name| (name.as_str(), "x")).collect();
    files.push(("index.html", "home"));
    let mut wanted: BTreeSet<String> = wanted.iter().cloned().collect();
    wanted.extend(["index.html", ".deployr-release"].map(str::to_owned));
    for number in [1, 2] {
        lab.deploy(&site(number), &lab.files(&files)).await.unwrap();
        assert_eq!(names(&lab.path("current")), wanted);
    }
    assert_eq!(lab.executor.prune(&site(1).slug, &[2]).await.unwrap(), [1]);
    assert_eq!(names(&lab.path("releases")), [format!("2-{COMMIT}")].into());
    let home = ["deployr", "public_html"];
    assert_eq!(names(&lab.account.home()), home.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_stays_below_the_project() {
    let lab = Lab::unvisited();
    what_is_shared_stays_below(&lab.executor, lab.work.path(), &lab.path(""), site).await;
}

/// What the host does otherwise than another, and each release arrives and goes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn both_ways_of_a_host_to_answer_are_understood() {
    let lab = Lab::new();
    lab.account.set(|host| {
        host.wrapped = true;
        host.unlinks_folders = false;
    });
    for number in [1, 2] {
        let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
        lab.deploy(&site(number), &artifact).await.unwrap();
        assert_eq!(lab.visit("/"), (200, format!("release {number}")));
    }
    assert_eq!(lab.executor.prune(&site(1).slug, &[2]).await.unwrap(), [1]);
    assert_eq!(names(&lab.path("releases")).len(), 1);
    assert!(!lab.path("lock").exists());
}

/// Of each call once: done, and its answer lost; or not done, and the host says so itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_anywhere_is_made_again() {
    let functions = [
        "Fileman/list_files",
        "Fileman/mkdir",
        "Fileman/get_file_content",
        "Fileman/get_file_information",
        "Fileman/save_file_content",
        "Fileman/upload_files",
        "Fileman/fileop extract",
        "Fileman/fileop link",
        "Fileman/fileop rename",
        "Fileman/fileop unlink",
        "Variables/get_user_information",
        "Quota/get_local_quota_info",
        "DomainInfo/single_domain_data",
        "SubDomain/addsubdomain",
    ];
    for trouble in [Trouble::CutAfter, Trouble::Status(500), Trouble::Garbage] {
        let lab = Lab::new();
        for number in [1, 2] {
            for function in functions {
                lab.account.trouble(function, 1, trouble.clone());
            }
            let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
            let deployed = lab.deploy(&site(number), &artifact).await;
            deployed.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
            assert_eq!(
                lab.visit("/"),
                (200, format!("release {number}")),
                "{trouble:?}"
            );
        }
        assert_eq!(lab.executor.prune(&site(1).slug, &[2]).await.unwrap(), [1]);
        assert!(names(&lab.path("incoming")).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_begins_again_and_leaves_nothing() {
    let lab = Lab::unvisited();
    let big: String = (0..200_000)
        .map(|n: u32| format!("{:x}", n.wrapping_mul(2_654_435_761)))
        .collect();
    let artifact = lab.files(&[("index.html", "home"), ("big.txt", &big)]);
    lab.account
        .trouble("Fileman/upload_files", 2, Trouble::CutHalfway);
    lab.deploy(&site(1), &artifact).await.unwrap();
    assert_eq!(lab.read("current/big.txt"), big);
    assert!(names(&lab.path("incoming")).is_empty());

    lab.account
        .trouble("Fileman/upload_files", 3, Trouble::CutHalfway);
    let lost = expect_fault(lab.executor.prepare(&site(2), &artifact, &context()).await);
    assert!(
        lost.retryable && lost.to_string().contains("see whether"),
        "{lost}"
    );
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(1));
    lab.executor.discard(&site(2).slug, 2).await.unwrap();
    assert!(names(&lab.path("incoming")).is_empty());
}
