use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use deployr_core::error::StepError;
use deployr_core::executor::{Endpoint, Executor};
use deployr_core::model::Turn;
use deployr_exec::ssh::SshExecutor;
use deployr_testkit::ssh::Sshd;

use crate::corpus;
use crate::support::*;

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_arrives_as_it_was_built() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home"), ("bin/run.sh", "#!/bin/sh\n")]);
    let run = folder(&artifact).join("bin/run.sh");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o751)).unwrap();
    symlink("bin/run.sh", folder(&artifact).join("run")).unwrap();
    let mut spec = site(1);
    spec.recipe.shared = paths(&["storage/logs", ".env"]);
    spec.recipe.writable = paths(&["cache"]);
    let endpoint = lab.deploy(&spec, &artifact).await.unwrap();

    let release = lab.path(&format!("releases/1-{COMMIT}"));
    let served = Endpoint::Served {
        path: release.clone(),
        address: None,
    };
    assert_eq!(endpoint, served);
    assert_eq!(
        fs::read_link(lab.path("current")).unwrap(),
        Path::new(&format!("releases/1-{COMMIT}"))
    );
    assert_eq!(lab.read("current/index.html"), "home");
    let mode = |path: &str| fs::metadata(lab.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("current/run"), 0o751);
    assert_eq!((mode("shared/.env"), mode("run")), (0o600, 0o700));
    assert!(lab.path("current/cache").is_dir());
    for path in ["storage/logs", ".env"] {
        let real = fs::canonicalize(lab.path("shared").join(path)).unwrap();
        assert_eq!(
            fs::canonicalize(lab.path("current").join(path)).unwrap(),
            real
        );
    }
    assert_eq!(lab.read("turn"), "1 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_is_stored_anew_where_nobody_writes() {
    let lab = Lab::new();
    let same = "x".repeat(100_000);
    let first = lab.files(&[("a.html", &same), ("index.html", "1")]);
    let second = lab.files(&[("a.html", &same), ("index.html", "2")]);
    lab.deploy(&site(1), &first).await.unwrap();
    lab.deploy(&site(2), &second).await.unwrap();
    let inode = |number: i64, file: &str| {
        let path = lab.path(&format!("releases/{number}-{COMMIT}/{file}"));
        fs::metadata(path).unwrap().ino()
    };
    assert_eq!(inode(1, "a.html"), inode(2, "a.html"));
    assert_ne!(inode(1, "index.html"), inode(2, "index.html"));
    assert_eq!(lab.read("current/index.html"), "2");
    assert!(
        lab.read("current/.deployr-release")
            .contains("\"number\":2")
    );

    // What it writes into must not be another release's file.
    let mut writes = site(3);
    writes.recipe.writable = paths(&["cache"]);
    lab.deploy(&writes, &second).await.unwrap();
    assert_ne!(inode(2, "a.html"), inode(3, "a.html"));
    assert_eq!(lab.read("current/a.html"), same);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_name_arrive_and_nothing_beside_them() {
    for without in [&["rsync"][..], &[]] {
        let lab = Lab::on(Sshd::start_without(without));
        let wanted = corpus::file_names();
        let mut files: Vec<(&str, &str)> = wanted.iter().map(|name| (name.as_str(), "x")).collect();
        files.push(("index.html", "home"));
        let mut wanted: BTreeSet<String> = wanted.iter().cloned().collect();
        wanted.extend(["index.html", ".deployr-release"].map(str::to_owned));
        // The second comes by another way where there is one.
        for number in [1, 2] {
            lab.deploy(&site(number), &lab.files(&files)).await.unwrap();
            assert_eq!(names(&lab.path("current")), wanted);
        }
        let slug = site(1).slug;
        assert_eq!(lab.executor.prune(&slug, &[2]).await.unwrap(), [1]);
        assert_eq!(
            names(&lab.path("releases")),
            BTreeSet::from([format!("2-{COMMIT}")])
        );
        let project = [
            "current", "jobs", "lock", "releases", "run", "shared", "turn",
        ];
        assert_eq!(names(&lab.path("")), project.map(str::to_owned).into());
        assert_eq!(
            names(&lab.sshd.home()),
            BTreeSet::from(["sites".to_owned()])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_stays_below_the_project() {
    let lab = Lab::new();
    what_is_shared_stays_below(&lab.executor, lab.work.path(), &lab.path(""), site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_of_any_name_is_taken_as_it_is() {
    let sshd = Sshd::start_without(&["flock"]);
    let canary = sshd.home().join("canary");
    for name in [
        "$(touch canary)",
        "a'; touch canary; '",
        "`touch canary`",
        "* \" \\ ü",
        "&& touch canary",
    ] {
        let mut target = target(&sshd);
        target.root = name.to_owned();
        let lab = SshExecutor::new(target).unwrap();
        let work = tempfile::tempdir().unwrap();
        for number in [1, 2] {
            let artifact = artifact(work.path(), &[("index.html", "home")]);
            deploy(&lab, &site(number), &artifact, &context())
                .await
                .unwrap();
        }
        assert!(
            sshd.home()
                .join(name)
                .join("shop/current/index.html")
                .is_file(),
            "{name}"
        );
    }
    assert!(!canary.exists());
    assert_eq!(names(&sshd.home()).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_not_replaced() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("current/site")).unwrap();
    let artifact = lab.files(&[("index.html", "home")]);
    let refused = expect_fault(lab.deploy(&site(1), &artifact).await);
    assert!(
        !refused.retryable && refused.to_string().contains("move it away"),
        "{refused}"
    );
    assert!(lab.path("current/site").is_dir());

    fs::remove_dir_all(lab.path("current")).unwrap();
    symlink("/srv/other", lab.path("current")).unwrap();
    let refused = lab.executor.current(&site(1).slug).await;
    assert!(matches!(refused, Err(StepError::Fault(fault)) if !fault.retryable));
}

/// Without `flock` the lock is a lease, of which only an expired one is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_waited_for_and_taken_over_when_it_has_expired() {
    let lab = Lab::on(Sshd::start_without(&["flock"]));
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    assert!(!lab.path("lease").exists());

    symlink("1.1:99999999999", lab.path("lease")).unwrap();
    let (spec, ctx) = (site(1), context());
    let switch = lab.executor.switch(&spec, Turn::new(1, 2), &ctx);
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let turn = lab.read("turn");
        fs::remove_file(lab.path("lease")).unwrap();
        turn
    };
    let (switched, turn) = tokio::join!(switch, release);
    switched.unwrap();
    assert_eq!(
        (turn.as_str(), lab.read("turn").as_str()),
        ("1 1\n", "1 2\n")
    );

    symlink("1.1:1000000000", lab.path("lease")).unwrap();
    lab.executor
        .switch(&site(1), Turn::new(1, 3), &context())
        .await
        .unwrap();
    assert_eq!(lab.read("turn"), "1 3\n");
    assert!(fs::symlink_metadata(lab.path("lease")).is_err());
}
