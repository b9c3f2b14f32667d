//! What is deployed: repositories whose pages show of which version they are, and whether
//! they are whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deployr_core::model::{Cause, Deployment, Project, ProjectId};
use deployr_core::value::{CommitId, GitRef};

use crate::machine::{Machine, Repository};

const BUILD: &str = include_str!("site/build.sh");
const SERVER: &str = include_str!("site/server.js");
const APP: &str = r#"
framework = "custom"
build = "sh build.sh"
output = "dist"
start = "node server.js"
[health]
interval_ms = 20
"#;

/// The steps that a whole build tells of.
pub(crate) const STEPS: usize = 5;
/// How often the version stands in a page, before the last line.
const LINES: usize = 100;

/// The two files of a release, which its build has made from one version.
pub(crate) const PAGE: &str = "index.html";
pub(crate) const COPY: &str = "assets/page.txt";

/// A project and its repository.
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) project: ProjectId,
    /// Whether its releases are processes, and not folders.
    pub(crate) is_app: bool,
    repository: Repository,
    versions: HashMap<CommitId, Version>,
}

/// One commit of a site.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// What becomes of it when it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Bad,
    /// It goes on until it is stopped.
    Endless,
}

impl Site {
    pub(crate) fn repository(machine: &Machine, name: &str, is_app: bool) -> Repository {
        let repository = Repository::new(machine, name, BUILD);
        if is_app {
            repository.commit("server.js", SERVER);
            repository.commit("deployr.toml", APP);
        }
        repository
    }

    pub(crate) fn new(project: &Project, repository: Repository, is_app: bool) -> Self {
        Self {
            name: project.slug.to_string(),
            project: project.id,
            is_app,
            repository,
            versions: HashMap::new(),
        }
    }

    /// Commits another version.
    pub(crate) fn commit(&mut self, outcome: Outcome) -> CommitId {
        let name = format!("{}-{}", self.name, self.versions.len() + 1);
        let file = format!("{name} {outcome:?}\n");
        self.repository.commit("VERSION", &file);
        let git = git2::Repository::open(self.repository.path()).unwrap();
        let head = git.head().unwrap().peel_to_commit().unwrap().id();
        let commit = CommitId::parse(head.to_string()).unwrap();
        let version = Version { name, outcome };
        self.versions.insert(commit.clone(), version);
        commit
    }

    pub(crate) fn version(&self, commit: &CommitId) -> &Version {
        &self.versions[commit]
    }

    /// What is to become of a deployment; none of one that builds nothing.
    pub(crate) fn outcome(&self, deployment: &Deployment) -> Option<Outcome> {
        match &deployment.cause {
            Cause::Deploy {
                reference: GitRef::Commit(commit),
            } => Some(self.version(commit).outcome),
            _ => None,
        }
    }

    /// Where its releases lie.
    pub(crate) fn folder(&self, machine: &Machine) -> PathBuf {
        machine.path().join(".deployr/sites").join(&self.name)
    }
}

/// The version of a page, if it is whole and of one version throughout.
pub(crate) fn version_of(page: &str) -> Option<&str> {
    let lines: Vec<&str> = page.strip_suffix('\n')?.split('\n').collect();
    let (last, lines) = lines.split_last()?;
    let version = last.strip_suffix(" whole")?;
    (lines.len() == LINES && lines.iter().all(|line| *line == version)).then_some(version)
}

/// The version of a release on the disk, if it is whole.
pub(crate) fn version_in(release: &Path) -> Result<String, String> {
    let read = |file: &str| {
        std::fs::read_to_string(release.join(file)).map_err(|error| format!("{file}: {error}"))
    };
    read(".deployr-release")?;
    let (page, copy) = (read(PAGE)?, read(COPY)?);
    match version_of(&page) {
        Some(version) if page == copy => Ok(version.to_owned()),
        Some(version) => Err(format!("{PAGE} is {version}, and {COPY} is not")),
        None => Err(format!("{PAGE} is not whole")),
    }
}
