use std::fs;
use std::os::unix::fs::PermissionsExt;

use deployr_exec::ssh::{Finding, Php, SshExecutor, SshTarget};
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

/// Puts a program of the test's own in the place of the host's.
fn instead(sshd: &Sshd, program: &str, script: &str) {
    let file = sshd.home().join("../bin").join(program);
    fs::remove_file(&file).unwrap();
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_php_and_git_lack_is_named_and_so_is_a_port_that_is_closed() {
    let sshd = Sshd::start_without(&[""]);
    instead(&sshd, "git", "echo git version 1.8.3.1");
    instead(
        &sshd,
        "php",
        "case $1 in -r) printf 8.1.2;; *) printf '[PHP Modules]\\nctype\\ndom\\nfileinfo\\ntokenizer\\n';; esac",
    );
    let mut target = target(&sshd);
    // Nobody listens there.
    target.web_server = Some(([127, 0, 0, 1], deployr_testkit::free_port()).into());
    let plain = SshExecutor::new(target.clone()).unwrap();
    assert!(
        troubles(&plain.doctor().await)
            .iter()
            .all(|(what, _)| *what == "git" || *what == "free space")
    );
    let php = plain.php(Php::default()).unwrap();
    let found = php.doctor().await;
    let mut named = troubles(&found);
    named.retain(|(what, _)| *what != "free space");
    assert_eq!(
        named,
        [("git", false), ("php", true), ("web server", true)],
        "{found:?}"
    );
    assert!(help(&found, "git").contains("2.5"));
    assert!(
        help(&found, "php").ends_with("apt-get install php-mbstring"),
        "{found:?}"
    );
    assert!(help(&found, "web server").contains("firewall"));

    fs::remove_file(sshd.home().join("../bin/php")).unwrap();
    assert!(help(&php.doctor().await, "php").contains("php-cli"));

    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    target.web_server = Some(open.local_addr().unwrap());
    let found = SshExecutor::new(target)
        .unwrap()
        .php(Php::default())
        .unwrap()
        .doctor()
        .await;
    assert!(
        found
            .iter()
            .any(|one| one.what == "web server" && one.help.is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_owner_is_named() {
    let mut sshd = Sshd::start();
    let (home, releases) = (sshd.home(), path(&sshd, "releases"));
    fs::create_dir_all(&releases).unwrap();
    let is_root = Sshd::user() == "root";
    if is_root {
        // Root may write to anything, so whoever logs in becomes nobody.
        let config = home.join("../config");
        let become_nobody = "ForceCommand exec setpriv --reuid=65534 --regid=65534 \
                             --clear-groups -- /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n";
        let text = fs::read_to_string(&config).unwrap() + become_nobody;
        fs::write(config, text).unwrap();
        for open in [home.join(".."), home.clone()] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::chown(home.join("sites"), Some(65534), Some(65534)).unwrap();
        std::os::unix::fs::chown(path(&sshd, ""), Some(65534), Some(65534)).unwrap();
        sshd.kill();
        sshd.up();
    }
    fs::set_permissions(&releases, fs::Permissions::from_mode(0o555)).unwrap();
    let found = look(target(&sshd)).await;
    let owner = found.iter().find(|one| one.what == "owner").unwrap();
    assert!(
        owner.blocks && owner.found.contains("sites/shop/releases belongs to"),
        "{owner:?}"
    );
    assert!(
        owner.help.as_deref().unwrap().contains("chown -R"),
        "{owner:?}"
    );
    assert!(!is_root || found[0].found == "as nobody", "{found:?}");

    let mut mended = fs::metadata(&releases).unwrap().permissions();
    mended.set_mode(0o777);
    fs::set_permissions(&releases, mended).unwrap();
    assert!(
        look(target(&sshd))
            .await
            .iter()
            .all(|one| one.what != "owner")
    );
}
