//! Git over HTTP by way of a proxy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::source::{Credentials, SourceProvider};
use deployr_github::{GitSource, Proxies};
use support::http::{Mode, Server};
use support::{Lab, branch, context, source, url, verdict};

const PASSWORD: &str = "canary-of-the-proxy";

/// Fetches through `server`, and knows it by name and password.
fn through(lab: &Lab, server: &Server, except: &str) -> GitSource {
    let address = server.origin().replace("//", &format!("//me:{PASSWORD}@"));
    GitSource::new(lab.mirrors()).proxies(Proxies::all(&address, except))
}

#[track_caller]
fn fault<T: std::fmt::Debug>(answer: StepResult<T>) -> Fault {
    match answer {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("wanted a fault, got {other:?}"),
    }
}

#[tokio::test]
async fn a_proxy_finds_a_server_that_is_known_to_it_alone() {
    let lab = Lab::new();
    let proxy = Server::start(lab.folder.path());
    let mut from = source(url("http://git.invalid/app"));
    from.credentials = Some(Credentials::Password {
        user: "me".to_owned(),
        password: "token".into(),
    });
    let (git, ctx) = (through(&lab, &proxy, "elsewhere.invalid"), context());
    let found = git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    assert_eq!(found.id, lab.head("app"));
    let folder = lab.target("x");
    git.checkout(&from, &found.id, &folder, &ctx).await.unwrap();
    assert_eq!(support::all_files(&folder).len(), 1);

    let seen = proxy.seen();
    assert!(seen.len() >= 2, "the list of refs and a pack: {seen:?}");
    for head in seen {
        let head = head.to_ascii_lowercase();
        let target = head.split(' ').nth(1).unwrap();
        assert!(target.starts_with("http://git.invalid/app/"), "{head}");
        assert!(head.contains("\r\nproxy-authorization: basic "), "{head}");
        assert!(head.contains("\r\nauthorization: basic "), "{head}");
    }
}

#[tokio::test]
async fn what_is_excepted_is_asked_without_the_proxy() {
    let lab = Lab::new();
    let (server, proxy) = (
        Server::start(lab.folder.path()),
        Server::start(lab.folder.path()),
    );
    let git = through(&lab, &proxy, "invalid, 127.0.0.0/8").allow_private_hosts(true);
    let ctx = context();
    let here = source(server.url("app"));
    git.resolve(&here, &branch("main"), &ctx).await.unwrap();
    let unknown = source(url("http://git.invalid/app"));
    let told = fault(git.resolve(&unknown, &branch("main"), &ctx).await);
    assert!(told.reason.contains("not found"), "{told}");
    assert_eq!(proxy.seen(), [""; 0]);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn addresses_inside_are_refused_behind_a_proxy_too() {
    let lab = Lab::new();
    let proxy = Server::start(lab.folder.path());
    let git = through(&lab, &proxy, "");
    for address in ["http://169.254.169.254/app", "http://[fd00::1]/app"] {
        let (inside, ctx) = (source(url(address)), context());
        let answer = git.resolve(&inside, &branch("main"), &ctx).await;
        let words = verdict(answer, VerdictCode::RepositoryRefused).message;
        assert!(words.contains("allow_private_hosts"), "{words}");
    }
    assert_eq!(proxy.seen(), [""; 0]);
    let git = git.allow_private_hosts(true);
    let allowed = source(url("http://10.0.0.1/app"));
    let found = git.resolve(&allowed, &branch("main"), &context()).await;
    assert_eq!(found.unwrap().id, lab.head("app"));
}

#[tokio::test]
async fn a_proxy_that_does_not_help_is_named_without_its_password() {
    let lab = Lab::new();
    let proxy = Server::start(lab.folder.path());
    let from = source(url("http://git.invalid/app"));
    let git = through(&lab, &proxy, "");
    proxy.mode(Mode::Status(407));
    let wants = fault(git.resolve(&from, &branch("main"), &context()).await);
    assert!(
        wants.reason.contains("the proxy") && !wants.retryable,
        "{wants}"
    );

    let closed = format!("http://me:{PASSWORD}@127.0.0.1:9");
    let git = GitSource::new(lab.mirrors()).proxies(Proxies::all(&closed, ""));
    let away = fault(git.resolve(&from, &branch("main"), &context()).await);
    let named = away.reason.contains("through the proxy http://127.0.0.1:9");
    assert!(named && away.retryable, "{away}");

    let socks = format!("socks5://me:{PASSWORD}@127.0.0.1:9");
    let git = git.proxies(Proxies::all(&socks, ""));
    let kind = fault(git.resolve(&from, &branch("main"), &context()).await);
    assert!(kind.reason.contains("socks5://127.0.0.1:9"), "{kind}");
    assert!(!kind.retryable);

    for text in [format!("{git:?}"), format!("{wants:?} {away:?} {kind:?}")] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

/// The environment of the tests may well name one.
#[tokio::test]
async fn no_proxy_is_asked_unless_one_was_given() {
    let lab = Lab::new();
    let (git, ctx) = (GitSource::new(lab.mirrors()), context());
    let from = source(url("http://git.invalid/app"));
    let told = fault(git.resolve(&from, &branch("main"), &ctx).await);
    assert!(told.reason.contains("not found"), "{told}");
}
