use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use deployr_core::error::VerdictCode;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::HealthPath;
use deployr_exec::cpanel::{CpanelExecutor, Site};
use deployr_testkit::cpanel::{Cpanel, Renames, Trouble};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_subdomain_is_made_and_each_release_is_seen_there() {
    let lab = Lab::new();
    for number in [1, 2, 3] {
        let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
        lab.deploy(&site(number), &artifact).await.unwrap();
        assert_eq!(lab.visit("/"), (200, format!("release {number}")));
    }
    for (turn, number) in [(4, 1), (5, 2), (6, 3)] {
        lab.executor
            .switch(&site(number), Turn::new(turn, 1), &context())
            .await
            .unwrap();
        assert_eq!(lab.visit("/"), (200, format!("release {number}")));
    }
    assert_eq!(lab.visit("/.deployr-release").0, 403);
}

/// A rename may replace a link, refuse to, or move into the folder that it leads to.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_replaced_whatever_a_rename_does_there() {
    for renames in [Renames::Replaces, Renames::Refuses, Renames::MovesInto] {
        let lab = Lab::new();
        lab.account.set(|host| host.renames = renames);
        for number in [1, 2] {
            let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
            let step = RecordedStep::new();
            lab.deploy_told(&site(number), &artifact, &step.ctx)
                .await
                .unwrap();
            assert_eq!(
                lab.visit("/"),
                (200, format!("release {number}")),
                "{renames:?}"
            );
            let said = said(&step).await;
            let gap = number == 2 && renames != Renames::Replaces;
            assert_eq!(said.contains("nothing is served"), gap, "{said}");
        }
        // Nothing of the attempt is left in what it was moved into.
        let of_first = crate::files::names(&lab.path(&format!("releases/1-{COMMIT}")));
        assert_eq!(of_first.len(), 3, "{of_first:?}");
        assert!(
            !crate::files::names(&lab.path(""))
                .iter()
                .any(|name| name.starts_with('.'))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_not_replaced() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    fs::create_dir_all(lab.account.home().join("old-site")).unwrap();
    fs::write(lab.account.home().join("old-site/index.html"), "theirs").unwrap();
    lab.account.add_domain(DOMAIN, "old-site");
    let refused = expect_fault(lab.deploy(&site(1), &artifact).await);
    assert!(
        !refused.retryable && refused.to_string().contains("\"index.html\""),
        "{refused}"
    );
    assert!(!lab.path("releases").exists(), "nothing was sent");
    assert_eq!(lab.visit("/"), (200, "theirs".to_owned()));

    // Nor is a link that somebody else has made.
    symlink("old-site", lab.account.home().join("linked")).unwrap();
    lab.account.add_domain(DOMAIN, "linked");
    let refused = expect_fault(lab.deploy(&site(1), &artifact).await);
    assert!(
        refused.to_string().contains("deployr has not made"),
        "{refused}"
    );

    // A folder that has only what cPanel has made is put aside; the main domain's, too.
    lab.account.add_domain(DOMAIN, "public_html");
    lab.deploy(&site(1), &artifact).await.unwrap();
    assert_eq!(lab.visit("/"), (200, "home".to_owned()));
    assert!(lab.account.home().join("public_html").is_symlink());

    let other = Lab::unvisited();
    fs::create_dir_all(other.path("current")).unwrap();
    let refused = expect_fault(other.deploy(&site(1), &artifact).await);
    assert!(
        !refused.retryable && refused.to_string().contains("move it away"),
        "{refused}"
    );
    assert!(other.path("current").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_visitors_find_ill_is_taken_back() {
    let lab = Lab::new();
    lab.deploy(
        &site(1),
        &lab.files(&[("index.html", "one"), ("up", "yes")]),
    )
    .await
    .unwrap();
    // By its files it is well: only who visits it sees that it is not.
    let mut ill = impatient(site(2));
    ill.recipe.health.path = HealthPath::parse("/up").unwrap();
    let artifact = lab.files(&[("index.html", "two"), (".up/x", ""), ("up/index.html", "")]);
    ill.recipe.health.status = Some(deployr_core::value::HealthStatus::new(204).unwrap());
    lab.executor
        .prepare(&ill, &artifact, &context())
        .await
        .unwrap();
    let verdict = expect_verdict(lab.executor.switch(&ill, Turn::new(2, 1), &context()).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert_eq!(lab.executor.current(&ill.slug).await.unwrap(), Some(1));
    assert_eq!(lab.visit("/"), (200, "one".to_owned()));
    lab.executor.discard(&ill.slug, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_leads_elsewhere_is_told() {
    let lab = Lab::new();
    lab.deploy(&site(1), &lab.files(&[("index.html", "one")]))
        .await
        .unwrap();
    let elsewhere = Cpanel::start();
    let mut target = target(&lab.account);
    let wrong = Site {
        web_server: Some(elsewhere.web()),
        ..site_at(&lab.account, DOMAIN)
    };
    target.sites.insert("shop".to_owned(), wrong);
    let executor = CpanelExecutor::new(target).unwrap();
    let next = impatient(site(2));
    executor
        .prepare(&next, &lab.files(&[("index.html", "two")]), &context())
        .await
        .unwrap();
    let verdict = expect_verdict(executor.switch(&next, Turn::new(2, 1), &context()).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(
        verdict.message.contains("whether the domain leads"),
        "{verdict}"
    );
    assert_eq!(lab.visit("/"), (200, "one".to_owned()));
}

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

/// Each call is a way to the host and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_not_many_calls() {
    let lab = Lab::new();
    for (number, most) in [(1, 60), (2, 43)] {
        let before = lab.account.requests().len();
        let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
        lab.deploy(&site(number), &artifact).await.unwrap();
        let calls = lab.account.requests().split_off(before);
        assert!(calls.len() <= most, "{}: {calls:#?}", calls.len());
    }
}
