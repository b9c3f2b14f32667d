use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::SourceHarness;
use super::tree::{Entry, Tree, read_tree};
use crate::context::StepContext;
use crate::error::{StepError, StepResult, Verdict, VerdictCode};
use crate::source::{Commit, Source, SourceProvider};
use crate::testing::RecordedStep;
use crate::testing::suite::in_time;
use crate::value::{BranchName, CommitId, GitRef, GitUrl, TagName};

/// A repository and a provider on the bench, and short words for what checks do.
pub(super) struct Bench {
    pub(super) harness: Arc<dyn SourceHarness>,
    pub(super) provider: Arc<dyn SourceProvider>,
    pub(super) step: RecordedStep,
}

impl Bench {
    pub(super) async fn new(harness: Arc<dyn SourceHarness>) -> Self {
        Self {
            provider: harness.provider().await,
            harness,
            step: RecordedStep::new(),
        }
    }

    pub(super) fn source(&self) -> Source {
        public(self.harness.url())
    }

    pub(super) async fn push(&self, branch: &str, tree: &Tree) -> CommitId {
        self.harness.push(&name(branch), tree).await
    }

    pub(super) async fn tag(&self, name: &str, commit: &CommitId, annotated: bool) {
        let name = TagName::parse(name).unwrap();
        self.harness.tag(&name, commit, annotated).await;
    }

    pub(super) async fn resolve(&self, reference: &GitRef) -> StepResult<Commit> {
        let source = self.source();
        let call = self.provider.resolve(&source, reference, &self.step.ctx);
        in_time("resolve", call).await
    }

    pub(super) async fn look_up(&self, wanted: Option<&GitRef>) -> StepResult<GitRef> {
        let source = self.source();
        let call = self.provider.look_up(&source, wanted, &self.step.ctx);
        in_time("look_up", call).await
    }

    /// What a ref that is there points at.
    pub(super) async fn found(&self, reference: &GitRef) -> CommitId {
        match self.resolve(reference).await {
            Ok(commit) => commit.id,
            Err(error) => panic!("{reference:?} is there, not: {error}"),
        }
    }

    pub(super) async fn refused(&self, reference: &GitRef) -> Verdict {
        verdict(self.resolve(reference).await, VerdictCode::RefNotFound)
    }

    /// Checks a commit out into a folder of its own, and reads that.
    pub(super) async fn checked_out(&self, commit: &CommitId) -> Tree {
        let folder = self.harness.folder().await;
        let done = self.checkout(commit, &folder, &self.step.ctx).await;
        assert_eq!(done.unwrap().id, *commit);
        read_tree(&folder).unwrap()
    }

    pub(super) async fn checkout(
        &self,
        commit: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        let source = self.source();
        let call = self.provider.checkout(&source, commit, folder, ctx);
        in_time("checkout", call).await
    }
}

pub(super) fn public(url: GitUrl) -> Source {
    Source {
        url,
        credentials: None,
        submodules: false,
    }
}

fn name(branch: &str) -> BranchName {
    BranchName::parse(branch).unwrap()
}

pub(super) fn branch(text: &str) -> GitRef {
    GitRef::Branch(name(text))
}

pub(super) fn tag(text: &str) -> GitRef {
    GitRef::Tag(TagName::parse(text).unwrap())
}

/// A tree of one file.
pub(super) fn page(text: &str) -> Tree {
    BTreeMap::from([("index.html".to_owned(), Entry::File(text.into()))])
}

#[track_caller]
pub(super) fn verdict<T: std::fmt::Debug>(answer: StepResult<T>, code: VerdictCode) -> Verdict {
    match answer {
        Err(StepError::Verdict(verdict)) if verdict.code == code => verdict,
        other => panic!("must be the verdict `{code}`, not {other:?}"),
    }
}
