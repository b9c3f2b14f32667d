use std::fs;
use std::os::unix::fs::PermissionsExt;

use deployr_exec::ssh::{Finding, SshExecutor, SshTarget};
use deployr_testkit::ssh::Sshd;

use crate::support::*;

async fn look(target: SshTarget) -> Vec<Finding> {
    SshExecutor::new(target).unwrap().doctor().await
}

/// What is not well, and whether it blocks.
fn troubles(findings: &[Finding]) -> Vec<(&str, bool)> {
    let troubles = findings.iter().filter(|finding| finding.help.is_some());
    troubles
        .map(|finding| (finding.what, finding.blocks))
        .collect()
}

fn help<'a>(findings: &'a [Finding], what: &str) -> &'a str {
    let finding = findings.iter().find(|finding| finding.what == what);
    finding.unwrap().help.as_deref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_well_lacks_nothing_and_is_left_as_it_is() {
    let sshd = Sshd::start();
    let found = look(target(&sshd)).await;
    let troubles = troubles(&found);
    assert!(
        troubles.iter().all(|(what, _)| *what == "free space"),
        "{found:?}"
    );
    assert_eq!(fs::read_dir(sshd.home()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_lacks_is_named_with_what_to_do() {
    let mut sshd = Sshd::start_without(&["rsync", "flock", "setsid", "ln"]);
    let date = sshd.home().join("../bin/date");
    fs::remove_file(&date).unwrap();
    fs::write(&date, "#!/bin/sh\necho 1000\n").unwrap();
    fs::set_permissions(&date, fs::Permissions::from_mode(0o755)).unwrap();
    let found = look(target(&sshd)).await;
    let mut expected = vec![
        ("links", true),
        ("clock", false),
        ("rsync", false),
        ("flock", false),
        ("setsid", false),
    ];
    let mut troubles = troubles(&found);
    troubles.retain(|(what, _)| *what != "free space");
    expected.sort_unstable();
    troubles.sort_unstable();
    assert_eq!(troubles, expected);
    assert!(help(&found, "setsid").contains("util-linux"));

    // Nobody can make a folder there, and there is no room.
    let mut nowhere = target(&sshd);
    nowhere.root = "/proc/deployr".to_owned();
    let found = look(nowhere).await;
    assert!(help(&found, "root").contains("chown"), "{found:?}");
    assert!(
        help(&found, "free space").contains("free some"),
        "{found:?}"
    );

    let other = Sshd::start();
    let mut stranger = target(&sshd);
    stranger.key = Some(other.key());
    assert!(help(&look(stranger).await, "connection").contains("authorized_keys"));
    let mut impostor = target(&sshd);
    impostor.host_key = Some(other.host_key());
    assert!(help(&look(impostor).await, "connection").contains("host key"));
    sshd.kill();
    let found = look(target(&sshd)).await;
    assert!(
        help(&found, "connection").contains("see whether the host is up"),
        "{found:?}"
    );
    assert!(found[0].blocks);
}
