//! A host's settings as the configuration that `ssh` reads: the only one that it reads.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::target::SshTarget;

/// What the host is called in it.
pub(super) const NAME: &str = "deployr-target";
const JUMP: &str = "deployr-jump";

/// What `ssh` is told beside its command line.
pub(super) struct Files {
    pub(super) config: String,
    /// The pinned keys, where there are some.
    pub(super) known_hosts: String,
}

/// `pinned` is where the pinned keys will be; `patience` how long the host may not answer.
pub(super) fn files(target: &SshTarget, pinned: &Path, patience: Duration) -> Files {
    let (mut config, mut known_hosts) = (String::new(), String::new());
    let mut host = |name: &str, at: &str, port: u16, user: Option<&str>, key: Option<&str>| {
        let mut says = |text: std::fmt::Arguments<'_>| writeln!(config, "{text}").unwrap_or(());
        says(format_args!("Host {name}\n  HostName {at}\n  Port {port}"));
        if let Some(user) = user {
            says(format_args!("  User {user}"));
        }
        if let Some(key) = key {
            known_hosts.push_str(&format!("{name} {key}\n"));
            says(format_args!(
                "  HostKeyAlias {name}\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none",
                quoted(pinned)
            ));
        } else if let Some(path) = &target.known_hosts {
            says(format_args!(
                "  UserKnownHostsFile {}\n  GlobalKnownHostsFile none",
                quoted(path)
            ));
        }
    };
    let (user, key) = (target.user.as_deref(), target.host_key.as_deref());
    host(NAME, &target.host, target.port, user, key);
    if let Some(jump) = &target.jump {
        let (user, key) = (jump.user.as_deref(), jump.host_key.as_deref());
        host(JUMP, &jump.host, jump.port, user, key);
        config.push_str(&format!("Host {NAME}\n  ProxyJump {JUMP}\n"));
    }
    config.push_str("Host *\n");
    for (option, path) in [
        ("IdentityFile", &target.key),
        ("CertificateFile", &target.certificate),
        ("IdentityAgent", &target.agent),
    ] {
        if let Some(path) = path {
            config.push_str(&format!("  {option} {}\n", quoted(path)));
        }
    }
    if target.key.is_some() {
        config.push_str("  IdentitiesOnly yes\n");
        if target.agent.is_none() {
            config.push_str("  IdentityAgent none\n");
        }
    }
    let patience = patience.as_secs().max(1);
    // Three questions without an answer end the connection.
    let ask = (patience / 4).clamp(1, 15);
    config.push_str(&format!(
        "  StrictHostKeyChecking yes\n  UpdateHostKeys no\n  BatchMode yes\n  \
         PasswordAuthentication no\n  KbdInteractiveAuthentication no\n  ClearAllForwardings yes\n  \
         ForwardAgent no\n  ForwardX11 no\n  PermitLocalCommand no\n  RequestTTY no\n  \
         EscapeChar none\n  AddKeysToAgent no\n  LogLevel ERROR\n  ConnectTimeout {connect}\n  \
         ServerAliveInterval {ask}\n  ServerAliveCountMax 3\n",
        connect = patience.min(20),
    ));
    Files {
        config,
        known_hosts,
    }
}

/// A path as a value, where blanks and `%` mean something. What else does is refused where
/// the setting is parsed.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::target::SshJump;
    use super::*;

    #[test]
    fn ssh_understands_it_as_it_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = SshTarget::new("web.example.com", "sites").unwrap();
        target.port = 2222;
        target.user = Some("deploy".to_owned());
        target.host_key = Some("ssh-ed25519 AAAA".to_owned());
        target.key = Some("/keys/my key 100%".into());
        target.jump = Some(SshJump {
            host: "jump.example.com".to_owned(),
            port: 22,
            user: None,
            host_key: None,
        });
        let files = files(&target, Path::new("/k/pinned"), Duration::from_secs(60));
        assert_eq!(files.known_hosts, "deployr-target ssh-ed25519 AAAA\n");
        let path = folder.path().join("config");
        std::fs::write(&path, files.config).unwrap();
        let asked = |host: &str| {
            let mut ssh = Command::new("ssh");
            let output = ssh
                .arg("-F")
                .arg(&path)
                .args(["-G", host])
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let (host, jump) = (asked(NAME), asked(JUMP));
        for line in [
            "hostname web.example.com",
            "port 2222",
            "user deploy",
            "hostkeyalias deployr-target",
            "userknownhostsfile /k/pinned",
            "proxyjump deployr-jump",
            "identityfile /keys/my key 100%%",
            "identityagent none",
            "stricthostkeychecking true",
            "batchmode yes",
            "passwordauthentication no",
            "serveraliveinterval 15",
        ] {
            assert!(host.lines().any(|found| found == line), "{line} in {host}");
        }
        assert!(jump.contains("stricthostkeychecking true\n"));
        assert!(jump.contains("hostname jump.example.com\n") && !jump.contains("hostkeyalias"));
    }
}
