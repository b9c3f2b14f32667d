use std::fs;
use std::time::Duration;

use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_exec::ssh::{SshExecutor, SshJump};
use deployr_testkit::ssh::Sshd;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_key_has_changed_is_refused() {
    let mut lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    let known = tempfile::NamedTempFile::new().unwrap();
    let line = format!("[127.0.0.1]:{} {}\n", lab.sshd.port(), lab.sshd.host_key());
    fs::write(known.path(), line).unwrap();
    lab.sshd.kill();
    lab.sshd.change_host_key();
    lab.sshd.up();
    let mut by_file = target(&lab.sshd);
    by_file.host_key = None;
    by_file.known_hosts = Some(known.path().to_owned());
    for executor in [
        lab.executor.clone(),
        SshExecutor::new(by_file.clone()).unwrap(),
    ] {
        let refused = expect_fault(deploy(&executor, &site(2), &artifact, &context()).await);
        assert!(!refused.retryable, "{refused}");
        assert!(refused.to_string().contains("host key is not"), "{refused}");
    }
    assert!(!lab.path(&format!("releases/2-{COMMIT}")).exists());

    // Nor is one believed that nobody has ever seen.
    fs::write(known.path(), "").unwrap();
    let stranger = SshExecutor::new(by_file).unwrap();
    let refused = expect_fault(stranger.current(&site(1).slug).await);
    assert!(refused.to_string().contains("not known"), "{refused}");
    let renewed = SshExecutor::new(target(&lab.sshd)).unwrap();
    assert_eq!(renewed.current(&site(1).slug).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_let_in_is_told() {
    let (sshd, other) = (Sshd::start(), Sshd::start());
    let mut stranger = target(&sshd);
    stranger.key = Some(other.key());
    let executor = SshExecutor::new(stranger).unwrap();
    let refused = expect_fault(executor.current(&site(1).slug).await);
    assert!(
        !refused.retryable && refused.to_string().contains("authorized_keys"),
        "{refused}"
    );
}

/// What a host that is gone, or stands still, makes of each step.
async fn each_step_fails(lab: &Lab) {
    let artifact = lab.files(&[("index.html", "next")]);
    let (next, ctx) = (site(2), context());
    let results: [StepResult<()>; 5] = [
        lab.executor.prepare(&next, &artifact, &ctx).await,
        lab.executor.start(&next, &ctx).await.map(drop),
        lab.executor.switch(&next, Turn::new(2, 1), &ctx).await,
        lab.executor.retire(&next.slug, 7, Duration::ZERO).await,
        lab.executor.current(&next.slug).await.map(drop),
    ];
    for result in results {
        let fault = expect_fault(result);
        assert!(fault.retryable, "{fault}");
        assert!(fault.to_string().contains("see whether"), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_gone_keeps_its_release_and_is_found_again() {
    let mut lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    lab.sshd.kill();
    each_step_fails(&lab).await;
    assert_eq!(lab.read("current/index.html"), "home");
    lab.sshd.up();
    let next = lab.files(&[("index.html", "next")]);
    lab.deploy(&site(2), &next).await.unwrap();
    assert_eq!(lab.read("current/index.html"), "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stands_still_is_not_waited_for_for_ever() {
    let mut lab = Lab::new();
    lab.executor = lab.executor.patience(Duration::from_secs(1));
    let artifact = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &artifact).await.unwrap();
    lab.sshd.pause();
    each_step_fails(&lab).await;
    lab.sshd.resume();
    lab.executor = lab.executor.patience(PATIENCE);
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(1));
    assert_eq!(lab.read("current/index.html"), "home");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_begins_again_and_leaves_nothing() {
    let lab = Lab::new();
    let big = "0123456789".repeat(3_000_000);
    let files: Vec<(String, &str)> = (0..4).map(|n| (format!("{n}.bin"), big.as_str())).collect();
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, *text)).collect();
    files.push(("index.html", "home"));
    let artifact = lab.files(&files);
    let (spec, ctx) = (site(1), context());
    // So that the cut comes while it sends.
    lab.executor.current(&spec.slug).await.unwrap();
    let cut = async {
        let begun = || {
            let entries = fs::read_dir(lab.path("releases"))
                .into_iter()
                .flatten()
                .flatten();
            entries.into_iter().any(|entry| {
                entry.path().join("0.bin").exists() || entry.path().join("1.bin").exists()
            })
        };
        eventually("an upload", begun).await;
        lab.sshd.cut();
    };
    let (sent, ()) = tokio::join!(lab.executor.prepare(&spec, &artifact, &ctx), cut);
    sent.unwrap();
    let endpoint = lab.executor.start(&spec, &ctx).await.unwrap();
    lab.executor.verify(&spec, &endpoint, &ctx).await.unwrap();
    lab.executor
        .switch(&spec, Turn::new(1, 1), &ctx)
        .await
        .unwrap();
    assert_eq!(
        fs::metadata(lab.path("current/3.bin")).unwrap().len(),
        big.len() as u64
    );
    lab.executor.prune(&spec.slug, &[1]).await.unwrap();
    assert_eq!(fs::read_dir(lab.path("releases")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_behind_another_is_reached_through_it() {
    let (sshd, jump) = (Sshd::start(), Sshd::start());
    // Both take one key here.
    let authorized = sshd.home().join("../authorized_keys");
    let both =
        [sshd.key(), jump.key()].map(|key| fs::read_to_string(key.with_extension("pub")).unwrap());
    fs::write(authorized, both.concat()).unwrap();
    let mut through = target(&sshd);
    through.key = Some(jump.key());
    through.jump = Some(SshJump {
        host: "127.0.0.1".to_owned(),
        port: jump.port(),
        user: Some(Sshd::user()),
        host_key: Some(jump.host_key()),
    });
    let executor = SshExecutor::new(through.clone()).unwrap();
    assert_eq!(executor.current(&site(1).slug).await.unwrap(), None);
    assert!(jump.log().contains("Accepted publickey"), "{}", jump.log());

    through.jump.as_mut().unwrap().host_key = Some(sshd.host_key());
    let wrong = SshExecutor::new(through).unwrap();
    expect_fault(wrong.current(&site(1).slug).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lacks_something_says_what() {
    let lab = Lab::on(Sshd::start_without(&["setsid"]));
    let artifact = lab.files(&[("index.html", "home")]);
    let refused = expect_fault(lab.deploy(&app(1, SERVER), &artifact).await);
    assert!(
        !refused.retryable && refused.to_string().contains("util-linux"),
        "{refused}"
    );

    let mut without = target(&lab.sshd);
    without.address = None;
    let executor = SshExecutor::new(without).unwrap();
    assert!(!executor.capabilities().processes);
    let refused = deploy(&executor, &app(1, SERVER), &artifact, &context()).await;
    let unsupported = |error: &StepError| matches!(error, StepError::Verdict(verdict) if verdict.code == VerdictCode::Unsupported);
    assert!(refused.is_err_and(|error| unsupported(&error)));
}
