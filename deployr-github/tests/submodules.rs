//! Repositories within repositories.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use deployr_core::error::VerdictCode;
use deployr_core::source::{Credentials, Source, SourceProvider};
use support::http::Server;
use support::{Lab, branch, context, git, source, verdict};

/// `app` has the submodule `lib/inner`, which has `deep`.
fn nested(lab: &Lab) {
    lab.make("deep");
    lab.commit("deep", "deep.txt", "deep");
    lab.make("inner");
    lab.commit("inner", "inner.txt", "inner");
    git(
        &lab.repo("inner"),
        &["submodule", "--quiet", "add", "../deep", "deep"],
    );
    git(&lab.repo("inner"), &["commit", "-q", "-m", "deep"]);
    git(
        &lab.repo("app"),
        &["submodule", "--quiet", "add", "../inner", "lib/inner"],
    );
    git(&lab.repo("app"), &["commit", "-q", "-m", "inner"]);
}

/// `app` with one submodule at `address`.
fn pointing_at(lab: &Lab, address: &str) -> Source {
    lab.make("inner");
    lab.commit("inner", "inner.txt", "inner");
    git(
        &lab.repo("app"),
        &["submodule", "--quiet", "add", "../inner", "inner"],
    );
    let text = format!("[submodule \"inner\"]\n\tpath = inner\n\turl = {address}\n");
    lab.commit("app", ".gitmodules", &text);
    Source {
        submodules: true,
        ..lab.local("app")
    }
}

#[tokio::test]
async fn are_left_out_unless_asked_for() {
    let lab = Lab::new();
    nested(&lab);
    let server = Server::start(lab.folder.path());
    let (git, ctx) = (lab.git_source(), context());
    let plain = source(server.url("app"));
    let id = git.resolve(&plain, &branch("main"), &ctx).await.unwrap().id;
    let without = lab.target("without");
    git.checkout(&plain, &id, &without, &ctx).await.unwrap();
    assert!(without.join("lib/inner").is_dir() && !without.join("lib/inner/inner.txt").exists());

    for (name, plain) in [("http", plain), ("local", lab.local("app"))] {
        let all = Source {
            submodules: true,
            ..plain
        };
        let folder = lab.target(name);
        git.checkout(&all, &id, &folder, &ctx).await.unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
        assert_eq!(read("lib/inner/inner.txt"), "inner");
        assert_eq!(read("lib/inner/deep/deep.txt"), "deep");
        assert!(!folder.join("lib/inner/.git").exists());
    }
}

#[tokio::test]
async fn are_held_to_the_rules_of_addresses() {
    for address in [
        "--upload-pack=touch /tmp/pwned",
        "ext::sh -c id",
        "git://git.example.org/x",
        "https://user:password@git.example.org/x",
        "http://git.example.org/x",
    ] {
        let lab = Lab::new();
        let from = pointing_at(&lab, address);
        let (git, ctx) = (lab.git_source(), context());
        let result = git
            .checkout(&from, &lab.head("app"), &lab.target("x"), &ctx)
            .await;
        let words = verdict(result, VerdictCode::RepositoryRefused).message;
        assert!(
            words.contains("inner") && !words.contains("password"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn never_lead_from_the_network_onto_this_machine() {
    let lab = Lab::new();
    let here = lab.repo("inner");
    pointing_at(&lab, here.to_str().unwrap());
    let server = Server::start(lab.folder.path());
    let from = Source {
        submodules: true,
        ..source(server.url("app"))
    };
    let result = lab
        .git_source()
        .checkout(&from, &lab.head("app"), &lab.target("x"), &context())
        .await;
    verdict(result, VerdictCode::RepositoryRefused);
}

#[tokio::test]
async fn get_credentials_only_on_the_same_server() {
    let lab = Lab::new();
    let (ours, other) = (
        Server::start(lab.folder.path()),
        Server::start(lab.folder.path()),
    );
    pointing_at(&lab, &format!("{}/inner", other.origin()));
    let mut from = Source {
        submodules: true,
        ..source(ours.url("app"))
    };
    from.credentials = Some(Credentials::Password {
        user: "u".into(),
        password: "canary".into(),
    });
    let folder = lab.target("x");
    lab.git_source()
        .checkout(&from, &lab.head("app"), &folder, &context())
        .await
        .unwrap();
    assert!(folder.join("inner/inner.txt").exists());
    let sent = |server: &Server| {
        server
            .seen()
            .join("")
            .to_lowercase()
            .contains("authorization")
    };
    assert!(sent(&ours) && !sent(&other));
}

#[tokio::test]
async fn that_never_end_are_refused() {
    let lab = Lab::new();
    // Each commit of `app` has the one before it as its submodule.
    for n in 0..6 {
        let before = lab.head("app");
        let entry = format!("160000,{before},self");
        git(
            &lab.repo("app"),
            &["update-index", "--add", "--cacheinfo", &entry],
        );
        std::fs::create_dir_all(lab.repo("app").join("self")).unwrap();
        let text = "[submodule \"self\"]\n\tpath = self\n\turl = ../app\n";
        std::fs::write(lab.repo("app").join(".gitmodules"), text).unwrap();
        git(&lab.repo("app"), &["add", ".gitmodules"]);
        git(&lab.repo("app"), &["commit", "-q", "-m", &format!("{n}")]);
    }
    let from = Source {
        submodules: true,
        ..lab.local("app")
    };
    let (git, ctx) = (lab.git_source(), context());
    let result = git
        .checkout(&from, &lab.head("app"), &lab.target("x"), &ctx)
        .await;
    let words = verdict(result, VerdictCode::RepositoryRefused).message;
    assert!(words.contains("deeper than 4"), "{words}");
}
