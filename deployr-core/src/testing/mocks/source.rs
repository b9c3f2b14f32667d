use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::script::{Script, go_on, lock};
use crate::context::StepContext;
use crate::error::{Fault, StepError, StepResult, VerdictCode};
use crate::source::{Commit, Source, SourceProvider};
use crate::testing::source::{Entry, Tree, digest, leads_out, write_tree};
use crate::value::{CommitId, GitRef, GitUrl};

/// A repository in memory, with what was put into it and nothing else. A clone is the
/// same repository. Of a commit that was not [`push`](Self::push)ed, a checkout writes
/// one file, `COMMIT`, with the hash.
#[derive(Debug, Clone, Default)]
pub struct ScriptedSource {
    script: Script,
    only: Option<GitUrl>,
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    /// By the full name: `refs/heads/main`.
    refs: BTreeMap<String, CommitId>,
    commits: BTreeMap<CommitId, Tree>,
}

impl ScriptedSource {
    /// A source whose branch `main` points at `commit`.
    #[must_use]
    pub fn new(commit: CommitId) -> Self {
        let source = Self::default();
        source.set("main", commit);
        source
    }

    /// Is found at this address, and at no other; at any address otherwise.
    #[must_use]
    pub fn only_at(self, url: GitUrl) -> Self {
        let only = Some(url);
        Self { only, ..self }
    }

    /// Points a branch at a commit, which is there from now on.
    pub fn set(&self, branch: &str, commit: CommitId) {
        self.point(branch, Some(commit));
    }

    /// The same; without a commit the branch is removed.
    pub fn point(&self, branch: &str, commit: Option<CommitId>) {
        self.name(format!("refs/heads/{branch}"), commit);
    }

    /// Points a tag at a commit, which is there from now on.
    pub fn tag(&self, name: &str, commit: CommitId) {
        self.name(format!("refs/tags/{name}"), Some(commit));
    }

    /// Commits exactly these files to a branch, and gives the commit: another one for
    /// other files, and for the same ones on top of another commit.
    ///
    /// # Panics
    ///
    /// Never: a digest makes a legal commit.
    pub fn push(&self, branch: &str, tree: &Tree) -> CommitId {
        let tip = {
            let content = lock(&self.content);
            content.refs.get(&format!("refs/heads/{branch}")).cloned()
        };
        let hash = digest(tree, tip.as_ref().map_or("", CommitId::as_str));
        let commit = CommitId::parse(&hash[..40]).expect("hex digits");
        lock(&self.content)
            .commits
            .insert(commit.clone(), tree.clone());
        self.set(branch, commit.clone());
        commit
    }

    /// What was asked, and how it shall fail. Calls: `resolve`, `checkout`,
    /// `forget`.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    fn name(&self, full: String, commit: Option<CommitId>) {
        let mut content = lock(&self.content);
        let Some(commit) = commit else {
            content.refs.remove(&full);
            return;
        };
        let only_itself = Entry::File(commit.as_str().into());
        let known = content.commits.entry(commit.clone());
        known.or_insert_with(|| Tree::from([("COMMIT".to_owned(), only_itself)]));
        content.refs.insert(full, commit);
    }

    /// Refuses addresses at which it is not.
    fn open(&self, source: &Source) -> StepResult<()> {
        if self.only.as_ref().is_none_or(|only| *only == source.url) {
            return Ok(());
        }
        let message = format!("there is no repository at {}", source.url);
        Err(StepError::verdict(VerdictCode::RepositoryRefused, message))
    }
}

fn commit(id: CommitId) -> Commit {
    let summary = format!("commit {}", id.short());
    Commit { id, summary }
}

fn not_found(name: &str) -> StepError {
    let message = format!("{name} is not in the repository");
    StepError::verdict(VerdictCode::RefNotFound, message)
}

#[async_trait]
impl SourceProvider for ScriptedSource {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn resolve(
        &self,
        source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.script.called("resolve", reference.name())?;
        go_on(ctx)?;
        self.open(source)?;
        let content = lock(&self.content);
        let found = match reference {
            GitRef::Commit(id) => content.commits.contains_key(id).then_some(id),
            _ => content.refs.get(&reference.full_name()),
        };
        let found = found.ok_or_else(|| not_found(reference.name()))?;
        Ok(commit(found.clone()))
    }

    async fn checkout(
        &self,
        source: &Source,
        id: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.script.called("checkout", id.as_str())?;
        go_on(ctx)?;
        self.open(source)?;
        let fault = |error| Fault::io("check out into", folder.display(), error);
        if fs::read_dir(folder).map_err(fault)?.next().is_some() {
            let reason = "it is not empty";
            return Err(Fault::permanent("check out into", folder.display(), reason).into());
        }
        let tree = lock(&self.content).commits.get(id).cloned();
        let tree = tree.ok_or_else(|| not_found(id.as_str()))?;
        for (path, entry) in &tree {
            if matches!(entry, Entry::Link(target) if leads_out(path, target)) {
                let message = format!("{path} leads out of the checkout");
                return Err(StepError::verdict(VerdictCode::RepositoryRefused, message));
            }
        }
        write_tree(&tree, folder).map_err(fault)?;
        Ok(commit(id.clone()))
    }

    async fn forget(&self, url: &GitUrl) -> StepResult<()> {
        self.script.called("forget", url.as_str())
    }
}
