use std::time::Duration;

use deployr_core::error::StepResult;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_exec::cpanel::{CpanelExecutor, Token};
use deployr_testkit::cpanel::{Cpanel, Trouble};

use crate::support::*;

/// What a step says while the whole host has a trouble; the old release stays.
async fn each_step(lab: &Lab, executor: &CpanelExecutor, retryable: bool, word: &str) {
    let artifact = lab.files(&[("index.html", "next")]);
    let (next, ctx) = (site(2), context());
    let results: [StepResult<()>; 5] = [
        executor.prepare(&next, &artifact, &ctx).await,
        executor.start(&next, &ctx).await.map(drop),
        executor.switch(&next, Turn::new(2, 1), &ctx).await,
        executor.retire(&next.slug, 7, Duration::ZERO).await,
        executor.current(&next.slug).await.map(drop),
    ];
    for result in results {
        let fault = expect_fault(result);
        assert_eq!(fault.retryable, retryable, "{fault}");
        assert!(fault.to_string().contains(word), "{fault}");
        assert!(!fault.to_string().contains(Cpanel::token()));
    }
    assert_eq!(lab.read("current/index.html"), "home");
}

async fn deployed() -> Lab {
    let lab = Lab::unvisited();
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_taken_is_told() {
    let lab = deployed().await;
    lab.account.set(|host| host.expired = true);
    each_step(&lab, &lab.executor, false, "has expired").await;
    lab.account.set(|host| host.expired = false);
    let mut stranger = target(&lab.account);
    stranger.token = Token::new("WRONG");
    let executor = CpanelExecutor::new(stranger).unwrap();
    each_step(&lab, &executor, false, "Manage API Tokens").await;
    // One that is put into its file holds at once.
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut by_file = target(&lab.account);
    by_file.token = Token::file(file.path());
    let executor = CpanelExecutor::new(by_file).unwrap();
    let empty = expect_fault(executor.current(&site(1).slug).await);
    assert!(
        empty.to_string().contains("one line with a token"),
        "{empty}"
    );
    std::fs::write(file.path(), format!("{}\n", Cpanel::token())).unwrap();
    assert_eq!(executor.current(&site(1).slug).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_answers_late_wrongly_or_not_is_told() {
    let lab = deployed().await;
    let many = 1_000;
    lab.account.trouble("*", many, Trouble::Page);
    each_step(&lab, &lab.executor, false, "a page instead of data").await;
    let lab = deployed().await;
    lab.account.trouble("*", many, Trouble::Status(302));
    each_step(&lab, &lab.executor, false, "not followed with a token").await;
    for (trouble, word) in [
        (Trouble::Garbage, "no JSON"),
        (Trouble::Status(503), "503"),
        (Trouble::CutAfter, "connection was lost"),
    ] {
        let lab = deployed().await;
        lab.account.trouble("*", many, trouble);
        each_step(&lab, &lab.executor, true, word).await;
    }
    let lab = deployed().await;
    lab.account
        .trouble("*", many, Trouble::Late(Duration::from_secs(2)));
    let fault = expect_fault(hasty(&lab).current(&site(1).slug).await);
    assert!(
        fault.retryable && fault.to_string().contains("within 0.2 s"),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_who_it_says_gets_no_token() {
    let lab = deployed().await;
    let mut unknown = target(&lab.account);
    unknown.certificate = None;
    let executor = CpanelExecutor::new(unknown).unwrap();
    let before = lab.account.requests().len();
    each_step(&lab, &executor, false, "certificate is not believed").await;
    let mut misnamed = target(&lab.account);
    misnamed.host = "127.0.0.2".to_owned();
    let executor = CpanelExecutor::new(misnamed).unwrap();
    let fault = expect_fault(executor.current(&site(1).slug).await);
    assert!(fault.to_string().contains("127.0.0.2"), "{fault}");
    assert_eq!(lab.account.requests().len(), before);
    let mut closed = target(&lab.account);
    closed.port = deployr_testkit::free_port();
    let executor = CpanelExecutor::new(closed).unwrap();
    each_step(&lab, &executor, true, "is open to this machine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_has_no_room_for_is_told_before_it_is_sent() {
    let lab = deployed().await;
    let noise: String = (0..50_000)
        .map(|n: u32| format!("{:x}", n.wrapping_mul(2_654_435_761)))
        .collect();
    let artifact = lab.files(&[("index.html", "next"), ("noise", &noise)]);
    for word in [
        "disk quota leaves",
        "inode limit leaves",
        "takes uploads of 1000",
    ] {
        lab.account.set(|host| {
            host.quota = word.contains("quota").then_some(100_000);
            host.inodes = word.contains("inode").then_some(15);
            host.upload = word.contains("uploads").then_some(1_000);
        });
        let fault = expect_fault(lab.executor.prepare(&site(2), &artifact, &context()).await);
        assert!(
            !fault.retryable && fault.to_string().contains(word),
            "{fault}"
        );
    }
    let uploads = lab
        .account
        .requests()
        .iter()
        .filter(|line| line.contains("upload_files"))
        .count();
    assert_eq!(uploads, 1);
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(1));
}

/// A quota that is reached meanwhile, or that the host did not tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_in_the_middle_leaves_the_old_release() {
    for function in [
        "Fileman/upload_files",
        "Fileman/fileop extract",
        "Fileman/fileop rename",
        "Fileman/save_file_content",
    ] {
        let lab = deployed().await;
        lab.account
            .trouble(function, 1, Trouble::Refuse("Disk quota exceeded".into()));
        let artifact = lab.files(&[("index.html", "next")]);
        let fault = expect_fault(lab.deploy(&site(2), &artifact).await);
        assert!(
            !fault.retryable && fault.to_string().contains("no room left"),
            "{function}: {fault}"
        );
        assert_eq!(lab.read("current/index.html"), "home", "{function}");
        lab.executor.discard(&site(2).slug, 2).await.unwrap();
        // What has failed once goes well the next time.
        lab.deploy(&site(2), &artifact).await.unwrap();
        assert_eq!(lab.read("current/index.html"), "next", "{function}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_makes_no_links_is_told() {
    let lab = Lab::unvisited();
    lab.account.set(|host| host.links = false);
    let artifact = lab.files(&[("index.html", "home")]);
    let fault = expect_fault(lab.deploy(&site(1), &artifact).await);
    assert!(
        !fault.retryable && fault.to_string().contains("symbolic links"),
        "{fault}"
    );
}
