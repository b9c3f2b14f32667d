use std::fs;
use std::os::unix::fs::symlink;

use deployr_core::error::VerdictCode;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::HealthPath;
use deployr_exec::cpanel::{CpanelExecutor, Site};
use deployr_testkit::cpanel::{Cpanel, Renames};

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

/// Each call is a way to the host and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_not_many_calls() {
    let lab = Lab::new();
    for (number, most) in [(1, 74), (2, 45)] {
        let before = lab.account.requests().len();
        let artifact = lab.files(&[("index.html", &format!("release {number}"))]);
        lab.deploy(&site(number), &artifact).await.unwrap();
        let calls = lab.account.requests().split_off(before);
        assert!(calls.len() <= most, "{}: {calls:#?}", calls.len());
    }
}
