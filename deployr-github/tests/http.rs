//! Git over HTTP, by way of `git http-backend`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::source::{Credentials, Source, SourceProvider};
use deployr_github::{GitLimits, GitSource};
use support::http::{Mode, Server};
use support::{Lab, branch, context, source, verdict};

const TOKEN: &str = "ghp_canaryTOKEN4711";
const HEADER: &str = "Basic eC1hY2Nlc3MtdG9rZW46Z2hwX2NhbmFyeVRPS0VONDcxMQ==";

fn with_token(mut source: Source, token: &str) -> Source {
    let user = "x-access-token".to_owned();
    source.credentials = Some(Credentials::Password {
        user,
        password: token.into(),
    });
    source
}

#[tokio::test]
async fn credentials_are_sent_and_kept_nowhere() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    server.want(HEADER);
    let (git, ctx) = (lab.git_source(), context());
    let public = source(server.url("app"));

    let none = git.resolve(&public, &branch("main"), &ctx).await;
    let words = verdict(none, VerdictCode::RepositoryRefused).message;
    assert!(words.contains("token"), "{words}");
    let wrong = git
        .resolve(&with_token(public.clone(), "wrong"), &branch("main"), &ctx)
        .await;
    verdict(wrong, VerdictCode::RepositoryRefused);

    let private = with_token(public.clone(), TOKEN);
    let id = git
        .resolve(&private, &branch("main"), &ctx)
        .await
        .unwrap()
        .id;
    git.checkout(&private, &id, &lab.target("x"), &ctx)
        .await
        .unwrap();

    // Whoever has no token does not get at the mirror either.
    let none = git
        .resolve(&public, &deployr_core::value::GitRef::Commit(id), &ctx)
        .await;
    verdict(none, VerdictCode::RepositoryRefused);

    server.mode(Mode::Status(403));
    let refused = git
        .resolve(&private, &branch("main"), &ctx)
        .await
        .unwrap_err();
    let encoded = HEADER.strip_prefix("Basic ").unwrap();
    let texts = [
        format!("{refused} {refused:?}"),
        format!("{private:?} {git:?}"),
    ];
    for text in texts {
        assert!(!text.contains(TOKEN) && !text.contains(encoded), "{text}");
    }
    for (path, content) in support::all_files(&lab.mirrors()) {
        let text = String::from_utf8_lossy(&content);
        let leak = text.contains(TOKEN) || text.contains(encoded);
        assert!(!leak, "{}", path.display());
    }
    for head in server.seen() {
        assert!(!head.lines().next().unwrap().contains(TOKEN), "{head}");
    }
}

#[tokio::test]
async fn what_the_server_says_becomes_a_verdict_or_a_fault() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    let from = source(server.url("app"));
    let (git, ctx) = (lab.git_source(), context());
    for code in [401, 403, 404, 410] {
        server.mode(Mode::Status(code));
        let result = git.resolve(&from, &branch("main"), &ctx).await;
        assert!(
            verdict(result, VerdictCode::RepositoryRefused)
                .message
                .contains(&code.to_string())
        );
    }
    for code in [500, 502, 503, 429] {
        server.mode(Mode::Status(code));
        match git.resolve(&from, &branch("main"), &ctx).await {
            Err(StepError::Fault(fault)) => assert!(fault.retryable, "{fault}"),
            other => panic!("{code}: {other:?}"),
        }
    }
    server.mode(Mode::Html);
    let result = git.resolve(&from, &branch("main"), &ctx).await;
    assert!(
        verdict(result, VerdictCode::RepositoryRefused)
            .message
            .contains("not as a git")
    );
    server.mode(Mode::Serve);
    let missing = source(server.url("not-there"));
    verdict(
        git.resolve(&missing, &branch("main"), &ctx).await,
        VerdictCode::RepositoryRefused,
    );

    let closed = support::url("http://127.0.0.1:9/app");
    match git.resolve(&source(closed), &branch("main"), &ctx).await {
        Err(StepError::Fault(fault)) => {
            assert!(
                fault.retryable && fault.reason.contains("refused"),
                "{fault}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_host_is_not_followed() {
    let lab = Lab::new();
    let (server, other) = (
        Server::start(lab.folder.path()),
        Server::start(lab.folder.path()),
    );
    server.mode(Mode::Redirect(other.origin()));
    let from = with_token(source(server.url("app")), TOKEN);
    let result = lab
        .git_source()
        .resolve(&from, &branch("main"), &context())
        .await;
    let words = verdict(result, VerdictCode::RepositoryRefused).message;
    assert!(words.contains("sends us on to 127.0.0.1"), "{words}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_renamed_repository_on_the_same_host_is_found() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    server.mode(Mode::Renamed);
    let from = source(server.url("old/app"));
    let commit = lab
        .git_source()
        .resolve(&from, &branch("main"), &context())
        .await
        .unwrap();
    assert_eq!(commit.id, lab.head("app"));
}

#[tokio::test]
async fn a_private_host_is_refused_unless_allowed() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    let git = GitSource::new(lab.mirrors());
    let port = server.origin().rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "localhost"] {
        let from = source(support::url(&format!("http://{host}:{port}/app")));
        let result = git.resolve(&from, &branch("main"), &context()).await;
        let words = verdict(result, VerdictCode::RepositoryRefused).message;
        assert!(words.contains("allow_private_hosts"), "{words}");
    }
    assert!(server.seen().is_empty());
    let from = source(support::url(&format!("http://localhost:{port}/app")));
    git.allow_private_hosts(true)
        .resolve(&from, &branch("main"), &context())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_local_folder_is_refused_unless_allowed() {
    let lab = Lab::new();
    let git = GitSource::new(lab.mirrors());
    let result = git
        .resolve(&lab.local("app"), &branch("main"), &context())
        .await;
    let words = verdict(result, VerdictCode::RepositoryRefused).message;
    assert!(words.contains("allow_local"), "{words}");
    let git = git.allow_local(true);
    git.resolve(&lab.local("app"), &branch("main"), &context())
        .await
        .unwrap();
    let result = git
        .resolve(&lab.local("nowhere"), &branch("main"), &context())
        .await;
    verdict(result, VerdictCode::RepositoryRefused);
}

#[tokio::test]
async fn a_silent_server_is_left_on_request() {
    let lab = Lab::new();
    lab.commit("app", "big", &"x".repeat(1 << 20));
    let server = Server::start(lab.folder.path());
    let from = source(server.url("app"));
    for mode in [Mode::Stall, Mode::StallInPack] {
        server.mode(mode.clone());
        let ctx = context();
        let cancel = ctx.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cancel.cancel();
        });
        let start = Instant::now();
        let result = lab.git_source().resolve(&from, &branch("main"), &ctx).await;
        assert!(
            matches!(result, Err(StepError::Stopped)),
            "{mode:?}: {result:?}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{mode:?}: {:?}",
            start.elapsed()
        );
    }
    // The mirror is free again, and whole.
    server.mode(Mode::Serve);
    lab.git_source()
        .resolve(&from, &branch("main"), &context())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_fetch_lets_the_mirror_go() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    server.mode(Mode::Stall);
    let from = source(server.url("app"));
    let (git, ctx, main) = (lab.git_source(), context(), branch("main"));
    let fetch = tokio::time::timeout(Duration::from_millis(300), git.resolve(&from, &main, &ctx));
    assert!(fetch.await.is_err());
    server.mode(Mode::Serve);
    let again = git.resolve(&from, &main, &ctx);
    tokio::time::timeout(Duration::from_secs(3), again)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_fetch_ends_at_its_deadline() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    server.mode(Mode::Stall);
    let limits = GitLimits {
        timeout: Duration::from_millis(400),
        ..GitLimits::default()
    };
    let git = lab.git_source().limits(limits);
    match git
        .resolve(&source(server.url("app")), &branch("main"), &context())
        .await
    {
        Err(StepError::Fault(fault)) => assert!(fault.retryable, "{fault}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn too_large_a_repository_is_refused() {
    let lab = Lab::new();
    let noise: String = (0..200_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_string())
        .collect();
    lab.commit("app", "big", &noise);
    let server = Server::start(lab.folder.path());
    let git = lab.git_source().limits(GitLimits {
        max_bytes: 100_000,
        ..GitLimits::default()
    });
    for from in [source(server.url("app")), lab.local("app")] {
        let result = git.resolve(&from, &branch("main"), &context()).await;
        verdict(result, VerdictCode::TooLarge);
    }
    let left = support::all_files(&lab.mirrors());
    assert!(
        left.iter().all(|(_, content)| content.is_empty()),
        "{left:?}"
    );
}

#[tokio::test]
async fn an_ssh_key_does_not_fit_an_https_address() {
    let lab = Lab::new();
    let server = Server::start(lab.folder.path());
    let mut from = source(server.url("app"));
    from.credentials = Some(Credentials::SshKey { key: "k".into() });
    let result = lab
        .git_source()
        .resolve(&from, &branch("main"), &context())
        .await;
    verdict(result, VerdictCode::ConfigInvalid);
}
