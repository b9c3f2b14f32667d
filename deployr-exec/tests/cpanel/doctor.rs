use deployr_exec::cpanel::{CpanelExecutor, CpanelTarget, Finding, Site, Token};
use deployr_testkit::cpanel::{Cpanel, Renames};

use crate::files::names;
use crate::support::*;

async fn look(target: CpanelTarget) -> Vec<Finding> {
    CpanelExecutor::new(target).unwrap().doctor().await
}

fn troubles(findings: &[Finding]) -> Vec<(&str, bool)> {
    let troubles = findings.iter().filter(|finding| finding.help.is_some());
    troubles
        .map(|finding| (finding.what, finding.blocks))
        .collect()
}

fn said(findings: &[Finding], what: &str) -> String {
    let finding = findings
        .iter()
        .find(|finding| finding.what == what)
        .unwrap();
    format!(
        "{}: {}",
        finding.found,
        finding.help.as_deref().unwrap_or_default()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_well_lacks_nothing_and_is_left_as_it_is() {
    let account = Cpanel::start();
    let found = look(target(&account)).await;
    assert_eq!(troubles(&found), [], "{found:?}");
    let whats: Vec<&str> = found.iter().map(|finding| finding.what).collect();
    assert_eq!(
        whats,
        [
            "connection",
            "clock",
            "free space",
            "files",
            "uploads",
            "links"
        ]
    );
    assert!(names(&account.home().join("deployr")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_lacks_is_named_with_what_to_do() {
    let account = Cpanel::start();
    account.set(|host| {
        host.clock = -4_000;
        host.quota = Some(1 << 24);
        host.inodes = Some(500);
        host.renames = Renames::MovesInto;
        host.disabled = vec!["PassengerApps/list_applications".to_owned()];
    });
    let mut target = target(&account);
    let site = Site {
        php: Some("8.4".to_owned()),
        passenger: true,
        ..site_at(&account, DOMAIN)
    };
    target.sites.insert("shop".to_owned(), site);
    let found = look(target.clone()).await;
    let mut expected = vec![
        ("clock", false),
        ("free space", false),
        ("files", false),
        ("links", false),
        ("domain", false),
        ("php", true),
        ("passenger", true),
    ];
    let mut troubles = troubles(&found);
    expected.sort_unstable();
    troubles.sort_unstable();
    assert_eq!(troubles, expected, "{found:?}");
    assert!(said(&found, "php").contains("ea-php82"));
    assert!(said(&found, "passenger").contains("has disabled"));
    assert!(said(&found, "clock").contains("s from the one here"));

    account.set(|host| host.links = false);
    let found = look(target.clone()).await;
    assert!(
        said(&found, "links").contains("symbolic links"),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|finding| finding.what == "links" && finding.blocks)
    );
    assert!(names(&account.home().join("deployr")).is_empty());
    account.set(|host| host.quota = Some(1));
    let found = look(target.clone()).await;
    assert!(said(&found, "free space").starts_with("none"), "{found:?}");

    let ill = |change: &dyn Fn(&mut CpanelTarget)| {
        let mut target = target.clone();
        change(&mut target);
        look(target)
    };
    for (found, word) in [
        (
            ill(&|t| t.token = Token::new("WRONG")).await,
            "Manage API Tokens",
        ),
        (
            ill(&|t| t.port = deployr_testkit::free_port()).await,
            "is open to this machine",
        ),
        (
            ill(&|t| t.certificate = None).await,
            "certificate is not believed",
        ),
    ] {
        assert!(said(&found, "connection").contains(word), "{found:?}");
        assert!(found.len() == 1 && found[0].blocks);
    }
    account.set(|host| host.expired = true);
    assert!(said(&look(target.clone()).await, "connection").contains("has expired"));
}
