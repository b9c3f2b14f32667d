//! Git does what every source provider must do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use deployr_core::source::SourceProvider;
use deployr_core::testing::source::{SourceHarness, Tree, conformance, write_tree};
use deployr_core::value::{BranchName, CommitId, GitUrl, TagName};
use support::http::Server;
use support::{Lab, git};

/// A repository that is read from its folder, or through a server.
struct Harness {
    lab: Lab,
    server: Option<Server>,
    folders: AtomicUsize,
}

impl Harness {
    fn new(served: bool) -> Self {
        let lab = Lab::empty();
        lab.make("app");
        // What is pushed is committed as it is, whatever attributes are among it.
        let attributes = lab.repo("app").join(".git/info/attributes");
        fs::write(attributes, "* -text -ident -filter\n").unwrap();
        Self {
            server: served.then(|| Server::start(lab.folder.path())),
            lab,
            folders: AtomicUsize::new(0),
        }
    }

    fn address(&self, repo: &str) -> GitUrl {
        match &self.server {
            Some(server) => server.url(repo),
            None => GitUrl::local(&self.lab.repo(repo)).unwrap(),
        }
    }
}

#[async_trait]
impl SourceHarness for Harness {
    async fn provider(&self) -> Arc<dyn SourceProvider> {
        Arc::new(self.lab.git_source())
    }

    fn url(&self) -> GitUrl {
        self.address("app")
    }

    fn nowhere(&self) -> GitUrl {
        self.address("nowhere")
    }

    async fn push(&self, branch: &BranchName, tree: &Tree) -> CommitId {
        let app = self.lab.repo("app");
        let name = format!("refs/heads/{branch}");
        let known = git(&app, &["for-each-ref", "--format=%(objectname)", &name]);
        git(&app, &["symbolic-ref", "HEAD", &name]);
        for entry in fs::read_dir(&app).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != ".git" {
                fs::remove_dir_all(&path)
                    .or_else(|_| fs::remove_file(&path))
                    .unwrap();
            }
        }
        write_tree(tree, &app).unwrap();
        git(&app, &["add", "--all", "--force"]);
        let message = format!("on top of {known:?}\n\nand so on");
        git(&app, &["commit", "-q", "--allow-empty", "-m", &message]);
        self.lab.head("app")
    }

    async fn tag(&self, name: &TagName, commit: &CommitId, annotated: bool) {
        let mut command = vec!["tag", name.as_str(), commit.as_str()];
        if annotated {
            command.extend(["-a", "-m", "annotated"]);
        }
        git(&self.lab.repo("app"), &command);
    }

    async fn point(&self, branch: &BranchName, commit: Option<&CommitId>) {
        let name = format!("refs/heads/{branch}");
        let command = match commit {
            Some(commit) => vec!["update-ref", &name, commit.as_str()],
            None => vec!["update-ref", "-d", &name],
        };
        git(&self.lab.repo("app"), &command);
    }

    async fn folder(&self) -> PathBuf {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        self.lab.target(&number.to_string())
    }

    fn on_server(&self, address: SocketAddr) -> Option<GitUrl> {
        Some(support::url(&format!("http://{address}/app.git")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_conforms() {
    conformance(async || Arc::new(Harness::new(false)) as Arc<dyn SourceHarness>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_conforms() {
    conformance(async || Arc::new(Harness::new(true)) as Arc<dyn SourceHarness>).await;
}
