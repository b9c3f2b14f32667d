//! What cPanel pulls by itself, with real git and a real shell behind the fake.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use deployr_core::error::VerdictCode;
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::{CommitId, GitUrl, UrlPolicy};
use deployr_exec::cpanel::Git;
use deployr_testkit::cpanel::Trouble;

use crate::support::*;

fn git(folder: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
    let output = Command::new("git")
        .args(identity)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(folder: &Path, text: &str, tasks: &str) -> CommitId {
    fs::write(folder.join("index.html"), text).unwrap();
    fs::write(folder.join(".cpanel.yml"), tasks).unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-qm", text]);
    CommitId::parse(git(folder, &["rev-parse", "HEAD"])).unwrap()
}

fn of(number: i64, commit: &CommitId) -> ReleaseSpec {
    ReleaseSpec {
        commit: commit.clone(),
        ..site(number)
    }
}

const TASKS: &str = "---\ndeployment:\n  tasks:\n    - export TO=$HOME/public_html\n    - /bin/cp index.html $TO\n    - echo copied to $TO\n";

/// A repository with these tasks, and an account that pulls it.
fn pulled(repository: &Path, tasks: &str) -> (Lab, CommitId) {
    git(repository, &["init", "-qb", "main"]);
    let first = commit(repository, "one", tasks);
    let policy = UrlPolicy {
        allow_local: true,
        ..UrlPolicy::default()
    };
    let url = GitUrl::parse_with(repository.to_str().unwrap(), &policy).unwrap();
    let lab = Lab::with(|site| {
        site.domain = None;
        site.git = Some(Git {
            repository: url,
            branch: "main".to_owned(),
        });
    });
    (lab, first)
}

/// Neither by a second call nor by the attempt that follows, however late the first one is
/// carried out.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_whose_beginning_was_not_answered_run_once() {
    let repository = tempfile::tempdir().unwrap();
    let tasks = "---\ndeployment:\n  tasks:\n    - echo run >> $HOME/runs\n";
    let (lab, first) = pulled(repository.path(), tasks);
    let built = lab.files(&[]);
    let runs = || fs::read_to_string(lab.account.home().join("runs")).unwrap_or_default();
    lab.account
        .trouble("VersionControl/create", 1, Trouble::CutAfter);
    lab.account
        .trouble("VersionControlDeployment/create", 1, Trouble::CutAfter);
    lab.deploy(&of(1, &first), &built).await.unwrap();
    assert_eq!(runs(), "run\n");

    let second = of(2, &commit(repository.path(), "two", tasks));
    lab.executor
        .prepare(&second, &built, &context())
        .await
        .unwrap();
    let late = Trouble::Late(Duration::from_secs(3));
    lab.account
        .trouble("VersionControlDeployment/create", 1, late);
    let executor = lab.executor.clone().patience(Duration::from_secs(1));
    let ctx = context();
    let fault = expect_fault(executor.switch(&second, Turn::new(2, 1), &ctx).await);
    assert!(fault.retryable, "{fault}");
    eventually("the late run", || runs() == "run\nrun\n").await;
    // As when the lease is over.
    lab.account.set(|host| host.clock = 100);
    lab.executor
        .switch(&second, Turn::new(2, 2), &context())
        .await
        .unwrap();
    assert_eq!(runs(), "run\nrun\n");
    assert_eq!(lab.executor.current(&second.slug).await.unwrap(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_pulls_and_runs_its_tasks_and_only_goes_forward() {
    let repository = tempfile::tempdir().unwrap();
    let (lab, first) = pulled(repository.path(), TASKS);
    let built = lab.files(&[]);
    let page = lab.account.home().join("public_html/index.html");
    let step = RecordedStep::new();
    lab.deploy_told(&of(1, &first), &built, &step.ctx)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&page).unwrap(), "one");
    let told = said(&step).await;
    assert!(told.contains("copied to /"), "{told}");
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(1));

    let second = commit(repository.path(), "two", TASKS);
    lab.deploy(&of(2, &second), &built).await.unwrap();
    assert_eq!(fs::read_to_string(&page).unwrap(), "two");
    // There is no way back, and that is told before anything is done.
    let gone = expect_verdict(lab.executor.start(&of(1, &first), &context()).await);
    assert_eq!(gone.code, VerdictCode::ReleaseGone);
    assert!(gone.message.contains("revert"), "{gone}");
    let late = lab
        .executor
        .switch(&of(2, &second), Turn::new(1, 1), &context())
        .await;
    assert!(!expect_fault(late).retryable);

    let third = commit(
        repository.path(),
        "three",
        &TASKS.replace("/bin/cp", "/bin/false"),
    );
    let failed = expect_verdict(lab.deploy(&of(3, &third), &built).await);
    assert_eq!(failed.code, VerdictCode::StartFailed);
    assert_eq!(lab.executor.current(&site(1).slug).await.unwrap(), Some(2));
    assert!(!lab.executor.capabilities().side_by_side);
}
