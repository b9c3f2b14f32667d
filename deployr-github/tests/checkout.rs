//! What is written into the folder, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::source::SourceProvider;
use deployr_core::value::{CommitId, GitRef};
use deployr_github::GitLimits;
use support::{Lab, branch, context, git, git_with, verdict};

/// Commits whatever lies in the working folder.
fn commit_all(lab: &Lab) -> CommitId {
    lab.commit("app", "stamp", "x")
}

#[tokio::test]
async fn the_files_of_the_commit_and_nothing_else() {
    let lab = Lab::new();
    let app = lab.repo("app");
    fs::create_dir_all(app.join("bin/deep")).unwrap();
    fs::write(app.join("bin/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(app.join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(app.join("bin/deep/ünï ✓"), "text\n").unwrap();
    fs::write(
        app.join(".gitattributes"),
        "* text eol=crlf filter=evil ident\n*.x export-ignore\n",
    )
    .unwrap();
    symlink("deep", app.join("bin/link")).unwrap();
    symlink("not-there", app.join("dangling")).unwrap();
    let id = commit_all(&lab);
    // Filters and hooks in the configuration of the other repository are not run.
    let canary = lab.folder.path().join("canary");
    let touch = format!("touch {}; cat", canary.display());
    git(&app, &["config", "filter.evil.smudge", &touch]);
    git(&app, &["config", "core.fsmonitor", &touch]);
    git(&app, &["config", "uploadpack.packObjectsHook", &touch]);

    let (source, ctx) = (lab.git_source(), context());
    let from = lab.local("app");
    source.resolve(&from, &branch("main"), &ctx).await.unwrap();
    let (one, two) = (lab.target("1"), lab.target("2"));
    let commit = source.checkout(&from, &id, &one, &ctx).await.unwrap();
    assert_eq!(commit.id, id);
    assert_eq!(commit.summary, "stamp: x");
    source.checkout(&from, &id, &two, &ctx).await.unwrap();

    let closed = fs::metadata(lab.mirrors()).unwrap().permissions().mode() & 0o7777;
    assert_eq!(closed, 0o700, "sources of others");
    let mode = |path: &str| fs::metadata(one.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("bin/run"), 0o755);
    assert_eq!(mode("index.html"), 0o644);
    assert_eq!(mode("bin"), 0o755);
    assert_eq!(fs::read(one.join("bin/link/ünï ✓")).unwrap(), b"text\n");
    assert_eq!(
        fs::read_link(one.join("dangling")).unwrap(),
        Path::new("not-there")
    );
    assert!(!one.join(".git").exists());
    assert!(!canary.exists());
    let relative = |folder: &Path| {
        let files = support::all_files(folder).into_iter();
        files
            .map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(relative(&one), relative(&two));
}

#[tokio::test]
async fn links_that_lead_out_are_refused() {
    for (name, links) in [
        ("absolute", vec![("l", "/etc/passwd")]),
        ("upwards", vec![("d/l", "../../secret")]),
        ("two", vec![("d/l", "../e"), ("m", "d/l/../../secret")]),
    ] {
        let lab = Lab::new();
        for (path, target) in links {
            fs::create_dir_all(lab.repo("app").join("d")).unwrap();
            symlink(target, lab.repo("app").join(path)).unwrap();
        }
        let id = commit_all(&lab);
        let folder = lab.target("x");
        let result = lab
            .git_source()
            .checkout(&lab.local("app"), &id, &folder, &context())
            .await;
        let words = verdict(result, VerdictCode::RepositoryRefused).message;
        assert!(words.contains("leads out"), "{name}: {words}");
        assert!(!folder.join("l").is_symlink() && !folder.join("m").is_symlink());
    }
}

/// A commit of one hand-made tree, on `main`.
fn hostile(lab: &Lab, entries: &[(&str, &str, &str)]) -> CommitId {
    let app = lab.repo("app");
    let mut tree = Vec::new();
    for (mode, name, id) in entries {
        tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        tree.extend((0..20).map(|n| u8::from_str_radix(&id[n * 2..n * 2 + 2], 16).unwrap()));
    }
    fs::write(lab.folder.path().join("tree"), tree).unwrap();
    let path = lab.folder.path().join("tree");
    let write = [
        "hash-object",
        "-t",
        "tree",
        "-w",
        "--literally",
        path.to_str().unwrap(),
    ];
    let tree = git(&app, &write);
    let commit = git_with(&app, &["commit-tree", &tree], "hostile");
    git(&app, &["update-ref", "refs/heads/main", &commit]);
    CommitId::parse(commit).unwrap()
}

#[tokio::test]
async fn trees_that_no_git_would_make_are_refused() {
    for case in ["git", "Git", "dots", "slash", "twice", "link-then-folder"] {
        let lab = Lab::new();
        let app = lab.repo("app");
        let blob = git_with(&app, &["hash-object", "-w", "--stdin"], "/tmp");
        let inner = git_with(&app, &["mktree"], &format!("100644 blob {blob}\tpwned\n"));
        let (file, link, tree) = ("100644", "120000", "40000");
        let entries = match case {
            "git" => vec![(tree, ".git", inner.as_str())],
            "Git" => vec![(tree, ".GIT", inner.as_str())],
            "dots" => vec![(tree, "..", inner.as_str())],
            "slash" => vec![(file, "../x", blob.as_str())],
            "twice" => vec![(file, "a", blob.as_str()), (file, "a", blob.as_str())],
            _ => vec![(link, "a", blob.as_str()), (tree, "a", inner.as_str())],
        };
        let id = hostile(&lab, &entries);
        let folder = lab.target("x");
        let result = lab
            .git_source()
            .checkout(&lab.local("app"), &id, &folder, &context())
            .await;
        let words = match result {
            Err(StepError::Verdict(v)) if v.code == VerdictCode::RepositoryRefused => v.message,
            other => panic!("{case}: {other:?}"),
        };
        assert!(
            !folder.join("../x").exists() && !folder.join("../pwned").exists(),
            "{words}"
        );
        assert!(!folder.join(".git").exists() && !Path::new("/tmp/pwned").exists());
    }
}

#[tokio::test]
async fn limits_are_kept() {
    let lab = Lab::new();
    for n in 0..20 {
        lab.commit("app", &format!("f{n}"), &"x".repeat(200_000));
    }
    let (id, from, ctx) = (lab.head("app"), lab.local("app"), context());
    let limits = GitLimits::default;
    for (name, limits) in [
        (
            "files",
            GitLimits {
                max_files: 10,
                ..limits()
            },
        ),
        (
            "one-file",
            GitLimits {
                max_file_bytes: 100_000,
                ..limits()
            },
        ),
        (
            "all",
            GitLimits {
                max_bytes: 1_000_000,
                ..limits()
            },
        ),
    ] {
        let result = lab
            .git_source()
            .limits(limits)
            .checkout(&from, &id, &lab.target(name), &ctx)
            .await;
        verdict(result, VerdictCode::TooLarge);
    }
}

#[tokio::test]
async fn a_bomb_of_trees_is_refused() {
    let lab = Lab::new();
    let app = lab.repo("app");
    let blob = git_with(&app, &["hash-object", "-w", "--stdin"], "x");
    let mut tree = git_with(&app, &["mktree"], &format!("100644 blob {blob}\tf\n"));
    for _ in 0..10 {
        let list: String = (0..10)
            .map(|n| format!("040000 tree {tree}\td{n}\n"))
            .collect();
        tree = git_with(&app, &["mktree"], &list);
    }
    let commit = git_with(&app, &["commit-tree", &tree], "bomb");
    git(&app, &["update-ref", "refs/heads/main", &commit]);
    let source = lab.git_source().limits(GitLimits {
        max_files: 5_000,
        ..GitLimits::default()
    });
    let id = CommitId::parse(commit).unwrap();
    let result = source
        .checkout(&lab.local("app"), &id, &lab.target("x"), &context())
        .await;
    verdict(result, VerdictCode::TooLarge);
}

#[tokio::test]
async fn many_checkouts_at_once() {
    let lab = Lab::new();
    for n in 0..10 {
        for m in 0..20 {
            let folder = lab.repo("app").join(format!("d{n}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("f{m}")), format!("{n} {m}")).unwrap();
        }
    }
    let id = commit_all(&lab);
    let mut tasks = Vec::new();
    for n in 0..8 {
        // Sources that share nothing but the folder, as processes would.
        let (git, from, ctx) = (lab.git_source(), lab.local("app"), context());
        let (id, folder) = (id.clone(), lab.target(&n.to_string()));
        tasks.push(tokio::spawn(async move {
            let found = git
                .resolve(&from, &GitRef::Commit(id.clone()), &ctx)
                .await
                .unwrap();
            git.checkout(&from, &found.id, &folder, &ctx).await.unwrap();
            support::all_files(&folder).len()
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 202);
    }
}

#[tokio::test]
async fn two_thousand_files_are_quick() {
    let lab = Lab::new();
    for n in 0..2_000 {
        let folder = lab.repo("app").join(format!("d{}", n % 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{n}")), format!("{n}").repeat(500)).unwrap();
    }
    let id = commit_all(&lab);
    let (git, from, ctx) = (lab.git_source(), lab.local("app"), context());
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    let folder = lab.target("x");
    let start = std::time::Instant::now();
    git.checkout(&from, &id, &folder, &ctx).await.unwrap();
    println!("2,000 files: {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
