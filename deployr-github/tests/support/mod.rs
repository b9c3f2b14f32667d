//! Real repositories, made by the `git` program, and a context to read them in.
#![allow(dead_code, unreachable_pub)]

pub mod http;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deployr_core::context::StepContext;
use deployr_core::error::{StepError, Verdict, VerdictCode};
use deployr_core::log::LogWriter;
use deployr_core::model::DeploymentId;
use deployr_core::source::Source;
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::{BranchName, CommitId, GitRef, GitUrl, TagName, UrlPolicy};
use deployr_github::GitSource;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Runs `git`, cut off from this machine's configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    git_with(folder, arguments, "")
}

pub fn git_with(folder: &Path, arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new("git")
        .args(["-c", "protocol.file.allow=always", "-C"])
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([
            ("GIT_AUTHOR_NAME", "A"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "A"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is needed for these tests");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {text}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A working repository with its mirrors' folder beside it.
pub struct Lab {
    pub folder: TempDir,
}

impl Lab {
    /// Without any repository.
    pub fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder }
    }

    /// With one commit on `main`, tagged `v1`.
    pub fn new() -> Self {
        let lab = Self::empty();
        lab.make("app");
        lab.commit("app", "index.html", "one");
        git(&lab.repo("app"), &["tag", "-a", "v1", "-m", "first"]);
        lab
    }

    pub fn make(&self, name: &str) {
        fs::create_dir(self.repo(name)).unwrap();
        git(&self.repo(name), &["init", "-q", "-b", "main"]);
    }

    pub fn repo(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn mirrors(&self) -> PathBuf {
        self.folder.path().join("mirrors")
    }

    /// The one bare repository in the mirrors' folder.
    pub fn mirror(&self) -> PathBuf {
        let all = fs::read_dir(self.mirrors())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut bare: Vec<_> = all
            .filter(|p| p.extension().is_some_and(|x| x == "git"))
            .collect();
        assert_eq!(bare.len(), 1, "{bare:?}");
        bare.remove(0)
    }

    /// Commits a file and gives the commit.
    pub fn commit(&self, repo: &str, file: &str, text: &str) -> CommitId {
        let folder = self.repo(repo);
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        fs::write(folder.join(file), text).unwrap();
        git(&folder, &["add", "-A"]);
        git(
            &folder,
            &[
                "commit",
                "-q",
                "-m",
                &format!("{file}: {}", &text[..text.len().min(20)]),
            ],
        );
        self.head(repo)
    }

    pub fn head(&self, repo: &str) -> CommitId {
        CommitId::parse(git(&self.repo(repo), &["rev-parse", "HEAD"])).unwrap()
    }

    pub fn local(&self, repo: &str) -> Source {
        source(GitUrl::local(&self.repo(repo)).unwrap())
    }

    /// Everything is allowed.
    pub fn git_source(&self) -> GitSource {
        GitSource::new(self.mirrors())
            .allow_local(true)
            .allow_private_hosts(true)
    }

    /// A new empty folder.
    pub fn target(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(format!("out-{name}"));
        fs::create_dir(&folder).unwrap();
        folder
    }
}

pub fn source(url: GitUrl) -> Source {
    Source {
        url,
        credentials: None,
        submodules: false,
    }
}

pub fn url(text: &str) -> GitUrl {
    GitUrl::parse_with(text, &UrlPolicy::PERMISSIVE).unwrap()
}

pub fn branch(name: &str) -> GitRef {
    GitRef::Branch(BranchName::parse(name).unwrap())
}

pub fn tag(name: &str) -> GitRef {
    GitRef::Tag(TagName::parse(name).unwrap())
}

pub fn context() -> StepContext {
    StepContext {
        deployment: DeploymentId::new(SystemClock.now(), &SystemEntropy),
        attempt: 1,
        cancel: CancellationToken::new(),
        handed_over: CancellationToken::new(),
        log: LogWriter::discard(),
    }
}

#[track_caller]
pub fn verdict<T: std::fmt::Debug>(result: Result<T, StepError>, code: VerdictCode) -> Verdict {
    match result {
        Err(StepError::Verdict(verdict)) if verdict.code == code => verdict,
        other => panic!("wanted {code}, got {other:?}"),
    }
}

/// Every file below a folder, with its content.
pub fn all_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                ahead.push(path);
            } else if path.is_file() {
                found.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
