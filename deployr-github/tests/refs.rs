//! Finding commits, and keeping a mirror of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::source::SourceProvider;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{CommitId, GitRef};
use support::http::Server;
use support::{Lab, branch, context, git, source, tag, verdict};

#[tokio::test]
async fn a_branch_a_tag_and_a_commit() {
    let lab = Lab::new();
    let first = lab.head("app");
    let second = lab.commit("app", "index.html", "two");
    let (git, ctx) = (lab.git_source(), context());
    let server = Server::start(lab.folder.path());
    for from in [lab.local("app"), source(server.url("app"))] {
        let main = git.resolve(&from, &branch("main"), &ctx).await.unwrap();
        assert_eq!(main.id, second);
        assert_eq!(main.summary, "index.html: two");
        assert_eq!(
            git.resolve(&from, &tag("v1"), &ctx).await.unwrap().id,
            first
        );
        let by_id = GitRef::Commit(first.clone());
        assert_eq!(git.resolve(&from, &by_id, &ctx).await.unwrap().id, first);
    }
}

#[tokio::test]
async fn a_fetch_brings_only_what_is_new() {
    let lab = Lab::new();
    for n in 0..50 {
        lab.commit("app", &format!("f{n}"), "x");
    }
    let server = Server::start(lab.folder.path());
    let from = source(server.url("app"));
    let (git, ctx) = (lab.git_source(), context());
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    let packs = || {
        let all = support::all_files(&lab.mirror().join("objects/pack"));
        let packs = all
            .into_iter()
            .filter(|(path, _)| path.extension().unwrap() == "pack");
        packs.map(|(_, content)| content.len()).collect::<Vec<_>>()
    };
    let before: usize = packs().iter().sum();

    let third = lab.commit("app", "index.html", "three");
    assert_eq!(
        git.resolve(&from, &branch("main"), &ctx).await.unwrap().id,
        third
    );
    assert_eq!(packs().len(), 2);
    assert!(
        packs().iter().sum::<usize>() - before < before / 4,
        "{before} then {:?}",
        packs()
    );

    // Nothing new: one request, and no pack.
    let requests = server.seen().len();
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    assert_eq!(server.seen().len(), requests + 1);
    assert_eq!(packs().len(), 2);
}

#[tokio::test]
async fn a_force_push_is_followed() {
    let lab = Lab::new();
    lab.commit("app", "index.html", "two");
    let from = lab.local("app");
    let (source, ctx) = (lab.git_source(), context());
    source.resolve(&from, &branch("main"), &ctx).await.unwrap();
    git(&lab.repo("app"), &["reset", "-q", "--hard", "v1^{commit}"]);
    let other = lab.commit("app", "index.html", "otherwise");
    git(&lab.repo("app"), &["tag", "-f", "v1"]);
    assert_eq!(
        source
            .resolve(&from, &branch("main"), &ctx)
            .await
            .unwrap()
            .id,
        other
    );
    assert_eq!(
        source.resolve(&from, &tag("v1"), &ctx).await.unwrap().id,
        other
    );
}

#[tokio::test]
async fn what_is_not_there_is_a_verdict_that_helps() {
    let lab = Lab::new();
    for name in ["develop", "feature/login", "a", "b", "c", "d"] {
        git(&lab.repo("app"), &["branch", name]);
    }
    let server = Server::start(lab.folder.path());
    let from = source(server.url("app"));
    let (source, ctx) = (lab.git_source(), context());
    assert!(
        source
            .resolve(&from, &branch("develop"), &ctx)
            .await
            .is_ok()
    );

    git(&lab.repo("app"), &["branch", "-D", "develop"]);
    git(&lab.repo("app"), &["branch", "develop2"]);
    let gone = source.resolve(&from, &branch("develop"), &ctx).await;
    let words = verdict(gone, VerdictCode::RefNotFound).message;
    assert!(
        words.contains("among its 7 branches are: develop2, "),
        "{words}"
    );

    let result = source.resolve(&from, &tag("v2"), &ctx).await;
    assert!(
        verdict(result, VerdictCode::RefNotFound)
            .message
            .ends_with("its tags are: v1")
    );
    let nowhere = GitRef::Commit(CommitId::parse("0123456789".repeat(4)).unwrap());
    verdict(
        source.resolve(&from, &nowhere, &ctx).await,
        VerdictCode::RefNotFound,
    );
    let sha256 = GitRef::Commit(CommitId::parse("01".repeat(32)).unwrap());
    verdict(
        source.resolve(&from, &sha256, &ctx).await,
        VerdictCode::Unsupported,
    );
}

#[tokio::test]
async fn a_branch_may_take_the_place_of_a_folder_of_branches() {
    let lab = Lab::new();
    let from = lab.local("app");
    let (source, ctx) = (lab.git_source(), context());
    git(&lab.repo("app"), &["branch", "x"]);
    source.resolve(&from, &branch("x"), &ctx).await.unwrap();
    git(&lab.repo("app"), &["branch", "-m", "x", "x/y"]);
    source.resolve(&from, &branch("x/y"), &ctx).await.unwrap();
    verdict(
        source.resolve(&from, &branch("x"), &ctx).await,
        VerdictCode::RefNotFound,
    );
}

#[tokio::test]
async fn an_empty_repository_has_no_branch() {
    let lab = Lab::new();
    lab.make("empty");
    let server = Server::start(lab.folder.path());
    let (git, ctx) = (lab.git_source(), context());
    for from in [lab.local("empty"), source(server.url("empty"))] {
        let result = git.resolve(&from, &branch("main"), &ctx).await;
        assert!(
            verdict(result, VerdictCode::RefNotFound)
                .message
                .contains("no branches at all")
        );
    }
}

#[tokio::test]
async fn a_broken_mirror_heals() {
    let lab = Lab::new();
    for n in 0..20 {
        lab.commit("app", &format!("f{n}"), &"x".repeat(n));
    }
    let head = lab.head("app");
    let server = Server::start(lab.folder.path());
    let from = source(server.url("app"));
    let (git, ctx) = (lab.git_source(), context());
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();

    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 6] = [
        ("no pack", |mirror| {
            fs::remove_dir_all(mirror.join("objects/pack")).unwrap()
        }),
        ("half a pack", |mirror| {
            each_pack(mirror, "pack", |bytes| bytes.truncate(bytes.len() / 2));
        }),
        ("other bytes", |mirror| {
            each_pack(mirror, "pack", |bytes| {
                let end = bytes.len() - 20;
                bytes[12..end].iter_mut().for_each(|b| *b ^= 0x55);
            });
        }),
        ("no index", |mirror| each_pack(mirror, "idx", Vec::clear)),
        ("no head", |mirror| {
            fs::remove_file(mirror.join("HEAD")).unwrap()
        }),
        ("a file", |mirror| {
            fs::remove_dir_all(mirror).unwrap();
            fs::create_dir(mirror).unwrap();
        }),
    ];
    for (n, (what, damage)) in damages.iter().enumerate() {
        damage(&lab.mirror());
        let found = git.resolve(&from, &branch("main"), &ctx).await;
        assert_eq!(found.unwrap_or_else(|e| panic!("{what}: {e}")).id, head);

        // The same again, found only when the files are written.
        damage(&lab.mirror());
        let folder = lab.target(&n.to_string());
        let done = git.checkout(&from, &head, &folder, &ctx).await;
        assert_eq!(done.unwrap_or_else(|e| panic!("{what}: {e}")).id, head);
        assert_eq!(support::all_files(&folder).len(), 21, "{what}");
    }
}

fn each_pack(mirror: &std::path::Path, kind: &str, change: impl Fn(&mut Vec<u8>)) {
    for (path, mut content) in support::all_files(&mirror.join("objects/pack")) {
        if path.extension().unwrap() == kind {
            change(&mut content);
            fs::remove_file(&path).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_kill_left_is_swept() {
    let lab = Lab::new();
    let from = lab.local("app");
    let (git, ctx) = (lab.git_source(), context());
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    let half = format!(
        "{}.new-abc",
        lab.mirror().file_stem().unwrap().to_str().unwrap()
    );
    fs::create_dir(lab.mirrors().join(&half)).unwrap();
    fs::write(lab.mirror().join("objects/pack/pack_git2_00ff"), "x").unwrap();
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    assert!(!lab.mirrors().join(half).exists());
    assert!(!lab.mirror().join("objects/pack/pack_git2_00ff").exists());
}

#[tokio::test]
async fn a_mirror_of_very_many_packs_is_made_anew() {
    let lab = Lab::new();
    let from = lab.local("app");
    let (git, ctx) = (lab.git_source(), context());
    for n in 0..105 {
        let id = lab.commit("app", "f", &n.to_string());
        assert_eq!(
            git.resolve(&from, &branch("main"), &ctx).await.unwrap().id,
            id
        );
    }
    let packs = fs::read_dir(lab.mirror().join("objects/pack"))
        .unwrap()
        .count();
    assert!(packs < 30, "{packs}");
}

#[tokio::test]
async fn a_locked_mirror_is_left_on_request() {
    let lab = Lab::new();
    let (git, ctx) = (lab.git_source(), context());
    let from = lab.local("app");
    git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    // Another process would hold it just so.
    let path = lab.mirror().with_extension("lock");
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.lock().unwrap();
    let cancel = ctx.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        cancel.cancel();
    });
    let result = git.resolve(&from, &branch("main"), &ctx).await;
    assert!(matches!(result, Err(StepError::Stopped)), "{result:?}");
}

#[tokio::test]
async fn a_tag_of_something_else_is_no_commit() {
    let lab = Lab::new();
    git(
        &lab.repo("app"),
        &["tag", "-a", "file", "-m", "x", "HEAD:index.html"],
    );
    let result = lab
        .git_source()
        .resolve(&lab.local("app"), &tag("file"), &context())
        .await;
    let words = verdict(result, VerdictCode::RefNotFound).message;
    assert!(words.contains("does not point at a commit"), "{words}");
}

/// A folder's objects are copied as they are: loose ones and packs, and none that lie where
/// a link leads, nor those of a repository that borrows them.
#[tokio::test]
async fn a_folder_of_this_machine_is_copied_whole() {
    let lab = Lab::new();
    let app = lab.repo("app");
    let first = lab.head("app");
    git(&app, &["gc", "--quiet"]);
    let second = lab.commit("app", "index.html", "two");
    let (source, ctx) = (lab.local("app"), context());
    let git_source = lab.git_source();
    for says in ["copied its objects, ", "fetched: nothing new"] {
        let step = RecordedStep::new();
        let resolved = git_source
            .resolve(&source, &branch("main"), &step.ctx)
            .await;
        assert_eq!(resolved.unwrap().id, second);
        let said = step.said().await;
        assert!(said.iter().any(|line| line.starts_with(says)), "{said:?}");
    }
    let by_id = GitRef::Commit(first);
    git_source.resolve(&source, &by_id, &ctx).await.unwrap();
    // A fetch would have made one pack of it all.
    let there = support::all_files(&lab.mirror().join("objects"));
    let loose = |path: &std::path::Path| path.extension().is_none();
    assert!(there.iter().any(|(path, _)| loose(path)), "{there:?}");

    // One that has its objects elsewhere is fetched, and is whole as well.
    let borrows = Lab::empty();
    let from = app.to_str().unwrap();
    git(
        borrows.folder.path(),
        &["clone", "-q", "--shared", from, "app"],
    );
    let (from, other) = (borrows.local("app"), borrows.git_source());
    let resolved = other.resolve(&from, &branch("main"), &ctx).await;
    assert_eq!(resolved.unwrap().id, second);
    fs::remove_dir_all(app.join(".git/objects")).unwrap();
    let folder = borrows.target("app");
    other.checkout(&from, &second, &folder, &ctx).await.unwrap();
    assert_eq!(
        fs::read_to_string(folder.join("index.html")).unwrap(),
        "two"
    );
}

/// And where that fails halfway, nothing of that stays.
#[tokio::test]
async fn a_folder_that_cannot_be_copied_is_fetched() {
    let lab = Lab::new();
    let app = lab.repo("app");
    let first = lab.head("app");
    git(&app, &["gc", "--quiet"]);
    let second = lab.commit("app", "index.html", "two");
    // Loose objects come first, and then a pack that lies elsewhere.
    let packs = app.join(".git/objects/pack");
    let is_pack = |path: &std::path::PathBuf| path.extension().is_some_and(|of| of == "pack");
    let entries = fs::read_dir(packs).unwrap();
    let pack = entries.map(|entry| entry.unwrap().path()).find(is_pack);
    let (pack, elsewhere) = (pack.unwrap(), lab.folder.path().join("elsewhere"));
    fs::rename(&pack, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &pack).unwrap();

    let (source, ctx, git_source) = (lab.local("app"), context(), lab.git_source());
    let resolved = git_source.resolve(&source, &branch("main"), &ctx).await;
    assert_eq!(resolved.unwrap().id, second);
    let there = support::all_files(&lab.mirror().join("objects"));
    let loose = |path: &std::path::Path| path.extension().is_none();
    assert!(!there.iter().any(|(path, _)| loose(path)), "{there:?}");
    fs::remove_dir_all(app.join(".git/objects")).unwrap();
    for (name, commit) in [("first", first), ("second", second)] {
        let folder = lab.target(name);
        let there = git_source.checkout(&source, &commit, &folder, &ctx);
        there.await.unwrap();
    }
}
