use std::fs;

use deployr_core::command::Command;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_exec::ssh::SshExecutor;
use deployr_testkit::ssh::Sshd;

use crate::support::*;

fn all(hosts: &[Sshd]) -> SshExecutor {
    let executor = SshExecutor::with_hosts(hosts.iter().map(target)).unwrap();
    executor.patience(PATIENCE)
}

fn says(host: &Sshd) -> String {
    fs::read_to_string(path(host, "current/index.html")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_have_the_same_release_or_none_the_new_one() {
    let mut hosts = [Sshd::start(), Sshd::start(), Sshd::start()];
    let (executor, work) = (all(&hosts), tempfile::tempdir().unwrap());
    assert!(!executor.capabilities().atomic_switch);
    let old = artifact(work.path(), &[("index.html", "old")]);
    let new = artifact(work.path(), &[("index.html", "new")]);
    deploy(&executor, &site(1), &old, &context()).await.unwrap();
    assert!(hosts.iter().all(|host| says(host) == "old"));

    // One is lost between release and switch.
    let (spec, ctx) = (site(2), context());
    executor.prepare(&spec, &new, &ctx).await.unwrap();
    let endpoint = executor.start(&spec, &ctx).await.unwrap();
    executor.verify(&spec, &endpoint, &ctx).await.unwrap();
    hosts[2].kill();
    let lost = expect_fault(executor.switch(&spec, Turn::new(2, 1), &ctx).await);
    assert!(lost.retryable, "{lost}");
    assert!(hosts.iter().all(|host| says(host) == "old"));
    // Nor was there a moment in which one had the new one: none has taken the turn.
    let turn = |host: &Sshd| fs::read_to_string(path(host, "turn")).unwrap();
    assert_eq!(hosts.each_ref().map(turn), ["1 1\n"; 3]);
    hosts[2].up();
    assert_eq!(executor.current(&spec.slug).await.unwrap(), Some(1));
    executor.switch(&spec, Turn::new(2, 2), &ctx).await.unwrap();
    assert!(hosts.iter().all(|host| says(host) == "new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_host_fails_in_the_switch_the_others_are_switched_back() {
    let hosts = [Sshd::start(), Sshd::start()];
    let (executor, work) = (all(&hosts), tempfile::tempdir().unwrap());
    let old = artifact(work.path(), &[("index.html", "old")]);
    let new = artifact(work.path(), &[("index.html", "new")]);
    // After the barrier: what it said it could, it cannot any more.
    let block = format!(
        "case $PWD in {}/*) mkdir ../../.current.tmp;; esac",
        hosts[1].home().display()
    );
    let executor = executor.before_switch(Command::new("sh").arg("-c").arg(block));
    let first = expect_fault(deploy(&executor, &site(1), &old, &context()).await);
    assert!(first.to_string().contains(".current.tmp"), "{first}");
    assert!(hosts.iter().all(|host| !path(host, "current").exists()));

    let unblock = || fs::remove_dir(path(&hosts[1], ".current.tmp")).unwrap();
    unblock();
    deploy(&all(&hosts), &site(2), &old, &context())
        .await
        .unwrap();
    expect_fault(deploy(&executor, &site(3), &new, &context()).await);
    assert!(hosts.iter().all(|host| says(host) == "old"));
    unblock();
    assert_eq!(all(&hosts).current(&site(2).slug).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_has_its_own_processes() {
    let hosts = [Sshd::start(), Sshd::start()];
    let (executor, work) = (all(&hosts), tempfile::tempdir().unwrap());
    let files = artifact(work.path(), &[("index.html", "home")]);
    let endpoint = deploy(&executor, &app(1, SERVER), &files, &context())
        .await
        .unwrap();
    assert_eq!(get(&endpoint).await.unwrap(), "release 1");
    let ports = hosts
        .each_ref()
        .map(|host| fs::read_to_string(path(host, "run/1/port")).unwrap());
    assert_ne!(ports[0], ports[1]);
    executor.prune(&app(1, SERVER).slug, &[1]).await.unwrap();
    assert_eq!(get(&endpoint).await.unwrap(), "release 1");
}

/// Each call costs a host a shell, and the deployment a way there and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_called_no_oftener_than_it_must() {
    let hosts = [
        Sshd::start_without(&["rsync"]),
        Sshd::start_without(&["rsync"]),
    ];
    let (executor, work) = (all(&hosts), tempfile::tempdir().unwrap());
    let files = artifact(work.path(), &[("index.html", "home")]);
    let calls = || {
        let count = |host: &Sshd| host.log().matches("Starting session: command").count();
        hosts.each_ref().map(count)
    };
    let before = calls();
    deploy(&executor, &site(1), &files, &context())
        .await
        .unwrap();
    let after = calls();
    // Survey, upload, place, look, ready, switch; the first says where it is, too.
    assert_eq!([after[0] - before[0], after[1] - before[1]], [7, 6]);
    // What is of no use any more is looked for and removed by one call.
    executor.prune(&site(1).slug, &[1]).await.unwrap();
    assert_eq!(calls(), after.map(|count| count + 1));
}
