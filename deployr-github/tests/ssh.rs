//! Git over SSH, with a real `sshd`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deployr_core::error::{StepError, VerdictCode};
use deployr_core::source::{Credentials, Source, SourceProvider};
use support::{Lab, branch, context, source, verdict};

const SSHD: &str = "/usr/sbin/sshd";

struct Sshd {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    fn start(lab: &Lab) -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is needed for this test: install openssh-server"
        );
        fs::create_dir_all("/run/sshd").unwrap();
        let folder = lab.folder.path().join("ssh");
        fs::create_dir(&folder).unwrap();
        for name in ["host", "key", "other"] {
            let file = folder.join(name);
            run(
                "ssh-keygen",
                &[
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-f",
                    file.to_str().unwrap(),
                ],
            );
        }
        fs::copy(folder.join("key.pub"), folder.join("authorized_keys")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = folder.display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile {at}/pid\n\
             AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\n\
             SetEnv PATH={}\n",
            std::env::var("PATH").unwrap()
        );
        fs::write(folder.join("config"), config).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("config"))
            .stderr(log)
            .spawn()
            .unwrap();
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(folder.join("log")).unwrap();
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "sshd did not start: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            folder,
            port,
            child,
        }
    }

    fn source(&self, path: &Path, key: &str) -> Source {
        let user = run("id", &["-un"]);
        let url = format!("ssh://{user}@127.0.0.1:{}{}", self.port, path.display());
        let key = fs::read_to_string(self.folder.join(key)).unwrap();
        let credentials = Some(Credentials::SshKey { key: key.into() });
        Source {
            credentials,
            ..source(support::url(&url))
        }
    }

    /// A known_hosts file with the given public key.
    fn known_hosts(&self, key: &str) -> PathBuf {
        let key = fs::read_to_string(self.folder.join(format!("{key}.pub"))).unwrap();
        let path = self.folder.join("known hosts 100%");
        fs::write(&path, format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
        path
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_repository_behind_a_key() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab);
    let (git, ctx) = (lab.git_source(), context());
    // A path that two shells would take apart.
    std::os::unix::fs::symlink(lab.repo("app"), lab.repo("a b~+")).unwrap();
    let from = sshd.source(&lab.repo("a%20b~+"), "key");

    let first = git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    assert_eq!(first.id, lab.head("app"));
    let second = lab.commit("app", "index.html", "two");
    let found = git.resolve(&from, &branch("main"), &ctx).await.unwrap();
    assert_eq!(found.id, second);
    let folder = lab.target("x");
    git.checkout(&from, &second, &folder, &ctx).await.unwrap();
    assert_eq!(
        fs::read_to_string(folder.join("index.html")).unwrap(),
        "two"
    );

    let key = fs::read_to_string(sshd.folder.join("key")).unwrap();
    let line = key.lines().nth(2).unwrap();
    for (path, content) in support::all_files(&lab.mirrors()) {
        assert!(
            !String::from_utf8_lossy(&content).contains(line),
            "{}",
            path.display()
        );
    }
    assert!(!format!("{from:?} {git:?}").contains(line));
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart() {
    let lab = Lab::new();
    let sshd = Sshd::start(&lab);
    let (git, ctx) = (lab.git_source(), context());

    let other = git
        .resolve(
            &sshd.source(&lab.repo("app"), "other"),
            &branch("main"),
            &ctx,
        )
        .await;
    assert!(
        verdict(other, VerdictCode::RepositoryRefused)
            .message
            .contains("deploy key")
    );
    let nowhere = sshd.source(&lab.repo("nowhere"), "key");
    let nowhere = git.resolve(&nowhere, &branch("main"), &ctx).await;
    let words = verdict(nowhere, VerdictCode::RepositoryRefused).message;
    assert!(
        words.contains("does not appear to be a git repository"),
        "{words}"
    );

    let strict = git.clone().known_hosts(sshd.known_hosts("other"));
    let from = sshd.source(&lab.repo("app"), "key");
    match strict.resolve(&from, &branch("main"), &ctx).await {
        Err(StepError::Fault(f)) => assert!(!f.retryable && f.reason.contains("host key"), "{f}"),
        other => panic!("{other:?}"),
    }
    let strict = git.clone().known_hosts(sshd.known_hosts("host"));
    strict.resolve(&from, &branch("main"), &ctx).await.unwrap();

    let mut password = from.clone();
    password.credentials = Some(Credentials::Password {
        user: "u".into(),
        password: "p".into(),
    });
    let result = git.resolve(&password, &branch("main"), &ctx).await;
    verdict(result, VerdictCode::ConfigInvalid);
    let public = deployr_github::GitSource::new(lab.mirrors());
    let result = public.resolve(&from, &branch("main"), &ctx).await;
    verdict(result, VerdictCode::RepositoryRefused);
}

#[tokio::test]
async fn a_silent_server_is_left_on_request() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@{}/app", listener.local_addr().unwrap());
    let ctx = context();
    let cancel = ctx.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cancel.cancel();
    });
    let start = Instant::now();
    let from = source(support::url(&url));
    let result = lab.git_source().resolve(&from, &branch("main"), &ctx).await;
    assert!(matches!(result, Err(StepError::Stopped)), "{result:?}");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}
