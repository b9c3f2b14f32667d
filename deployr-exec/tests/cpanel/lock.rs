//! Who has the lock, and what a host that stalls may do to it.

use std::fs;
use std::time::{Duration, SystemTime};

use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_testkit::cpanel::Trouble;

use crate::support::*;

/// The lock is a lease by the host's own clock, of which only an expired one is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_and_taken_over_when_it_has_expired() {
    let lab = Lab::unvisited();
    lab.deploy(&site(1), &lab.files(&[("index.html", "home")]))
        .await
        .unwrap();
    fs::create_dir(lab.path("lock")).unwrap();
    fs::write(lab.path("lock/owner"), "somebody").unwrap();
    let (spec, ctx) = (site(1), context());
    let switch = lab.executor.switch(&spec, Turn::new(1, 2), &ctx);
    let release = async {
        let waited = || lab.account.requests().len();
        let before = waited();
        while waited() < before + 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let turn = lab.read("turn");
        fs::remove_dir_all(lab.path("lock")).unwrap();
        turn
    };
    let (switched, turn) = tokio::join!(switch, release);
    switched.unwrap();
    assert_eq!(
        (turn.as_str(), lab.read("turn").as_str()),
        ("1 1\n", "1 2\n")
    );

    // Of whoever died an hour ago, whatever this machine's clock says.
    lab.account.set(|host| host.clock = 100_000);
    fs::create_dir(lab.path("lock")).unwrap();
    fs::write(lab.path("lock/owner"), "somebody").unwrap();
    let old = SystemTime::now() - Duration::from_secs(10);
    fs::File::open(lab.path("lock"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    lab.executor
        .switch(&site(1), Turn::new(1, 3), &context())
        .await
        .unwrap();
    assert_eq!(lab.read("turn"), "1 3\n");
    assert!(!lab.path("lock").exists());
}

/// Whether the lock was made is not known where the answer to that is lost: it is one that
/// nobody has, and not waited for as long as for somebody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_making_was_not_answered_is_nobodys() {
    let lab = Lab::unvisited();
    lab.deploy(&site(1), &lab.files(&[("index.html", "home")]))
        .await
        .unwrap();
    // So that what was made a moment ago is ten seconds old by the host's clock.
    lab.account.set(|host| host.clock = 10);
    lab.account.trouble("Fileman/mkdir", 1, Trouble::CutAfter);
    lab.executor
        .switch(&site(1), Turn::new(1, 2), &context())
        .await
        .unwrap();
    assert_eq!(lab.read("turn"), "1 2\n");
    assert!(!lab.path("lock").exists());
    // One of that age that somebody has is somebody's.
    fs::create_dir(lab.path("lock")).unwrap();
    fs::write(lab.path("lock/owner"), "somebody").unwrap();
    let (spec, ctx) = (site(1), context());
    let switch = lab.executor.switch(&spec, Turn::new(1, 3), &ctx);
    let limit = Duration::from_secs(1);
    assert!(tokio::time::timeout(limit, switch).await.is_err());
    assert_eq!(lab.read("turn"), "1 2\n");
}

/// Who was too slow changes nothing: another has the lock by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_lost_is_noticed_before_the_switch() {
    let lab = Lab::unvisited();
    for number in [1, 2] {
        let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
        lab.deploy(&site(number), &artifact).await.unwrap();
    }
    let slow = Trouble::Late(Duration::from_millis(50));
    lab.account.trouble("Fileman/get_file_content", 100, slow);
    let (spec, ctx) = (site(1), context());
    let switch = lab.executor.switch(&spec, Turn::new(3, 1), &ctx);
    let rob = async {
        while !lab.path("lock/owner").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::write(lab.path("lock/owner"), "somebody").unwrap();
    };
    let (switched, ()) = tokio::join!(switch, rob);
    let fault = expect_fault(switched);
    assert!(
        fault.retryable && fault.to_string().contains("was lost"),
        "{fault}"
    );
    assert_eq!(
        (
            lab.read("turn").as_str(),
            lab.read("current/index.html").as_str()
        ),
        ("2 1\n", "release 2")
    );
    assert!(lab.path("lock/owner").exists(), "it is somebody's");
}

async fn two_releases() -> Lab {
    let lab = Lab::unvisited();
    for number in [1, 2] {
        let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
        lab.deploy(&site(number), &artifact).await.unwrap();
    }
    lab
}

/// Gives up long before a host that is three seconds late.
fn patient(lab: &Lab) -> deployr_exec::cpanel::CpanelExecutor {
    lab.executor.clone().patience(Duration::from_secs(1))
}

/// What was written under the lock: each of these calls may change what visitors get.
fn renames(lab: &Lab) -> usize {
    let all = lab.account.requests();
    all.iter().filter(|line| line.contains("json-api")).count()
}

/// A change that is carried out late must not follow another's: it is asked for once, and the
/// lock stays until its lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_answered_is_not_asked_for_again_and_keeps_the_lock() {
    let lab = two_releases().await;
    let late = Trouble::Late(Duration::from_secs(3));
    lab.account.trouble("Fileman/fileop rename", 1, late);
    let before = renames(&lab);
    let (executor, spec, ctx) = (patient(&lab), site(1), context());
    let fault = expect_fault(executor.switch(&spec, Turn::new(3, 1), &ctx).await);
    assert!(fault.retryable, "{fault}");
    // The folder of the lock, the new link, its rename; and nothing after that.
    assert_eq!(renames(&lab) - before, 3, "{:#?}", lab.account.requests());
    assert!(lab.path("lock/owner").exists());
    let (spec, ctx) = (site(2), context());
    let other = lab.executor.switch(&spec, Turn::new(4, 1), &ctx);
    let limit = Duration::from_millis(300);
    assert!(tokio::time::timeout(limit, other).await.is_err());
    assert_eq!(lab.read("turn"), "3 1\n");
    // It is carried out while nobody else has changed anything, and the next one follows.
    eventually("the late switch", || {
        lab.read("current/index.html") == "release 1"
    })
    .await;
    lab.account.set(|host| host.clock = 100);
    lab.executor
        .switch(&spec, Turn::new(4, 1), &ctx)
        .await
        .unwrap();
    assert_eq!(lab.read("current/index.html"), "release 2");
}

/// Who stands before the host does not know what became of a change either.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_a_gateway_answers_for_the_host_is_not_asked_for_again() {
    for status in [502, 503, 504] {
        let lab = two_releases().await;
        let trouble = Trouble::Status(status);
        lab.account.trouble("Fileman/fileop rename", 1, trouble);
        let before = renames(&lab);
        let (spec, ctx) = (site(1), context());
        let fault = expect_fault(lab.executor.switch(&spec, Turn::new(3, 1), &ctx).await);
        assert!(fault.retryable, "{fault}");
        assert_eq!(renames(&lab) - before, 3, "{status}");
        assert!(lab.path("lock/owner").exists(), "{status}");
        assert_eq!(lab.read("current/index.html"), "release 2");
    }
}

/// What was carried out needs no second call where only its answer was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_is_looked_for() {
    let changes = [
        "Fileman/save_file_content",
        "Fileman/fileop link",
        "Fileman/fileop rename",
        "Fileman/fileop unlink",
    ];
    let lab = two_releases().await;
    for (number, change) in (3..).zip(changes) {
        lab.account.trouble(change, 1, Trouble::CutAfter);
        let to = site(if number % 2 == 1 { 1 } else { 2 });
        lab.executor
            .switch(&to, Turn::new(number, 1), &context())
            .await
            .unwrap();
        let wanted = format!("release {}", to.number);
        assert_eq!(lab.read("current/index.html"), wanted, "{change}");
        assert!(!lab.path("lock").exists(), "{change}");
    }
}
