use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::script::{Script, go_on, lock};
use crate::context::StepContext;
use crate::error::{Fault, StepError, StepResult, VerdictCode};
use crate::source::{Commit, Source, SourceProvider};
use crate::value::{CommitId, GitRef};

/// A repository in memory. Each branch and tag that was not [`set`](Self::set) is not
/// there; a commit always is. A checkout writes one file, `COMMIT`, with the hash.
#[derive(Debug, Clone, Default)]
pub struct ScriptedSource {
    script: Script,
    refs: Arc<Mutex<BTreeMap<String, CommitId>>>,
}

impl ScriptedSource {
    /// A source whose branch `main` points at `commit`.
    #[must_use]
    pub fn new(commit: CommitId) -> Self {
        let source = Self::default();
        source.set("main", commit);
        source
    }

    /// Points a branch or a tag at a commit: a push.
    pub fn set(&self, name: &str, commit: CommitId) {
        lock(&self.refs).insert(name.to_owned(), commit);
    }

    /// What was asked, and how it shall fail. Calls: `resolve`, `checkout`.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }
}

fn commit(id: CommitId) -> Commit {
    let summary = format!("commit {}", id.short());
    Commit { id, summary }
}

#[async_trait]
impl SourceProvider for ScriptedSource {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn resolve(
        &self,
        _source: &Source,
        reference: &GitRef,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.script.called("resolve", reference.name())?;
        go_on(ctx)?;
        if let GitRef::Commit(id) = reference {
            return Ok(commit(id.clone()));
        }
        let found = lock(&self.refs).get(reference.name()).cloned();
        found.map(commit).ok_or_else(|| {
            let message = format!("{} is not in the repository", reference.name());
            StepError::verdict(VerdictCode::RefNotFound, message)
        })
    }

    async fn checkout(
        &self,
        _source: &Source,
        id: &CommitId,
        folder: &Path,
        ctx: &StepContext,
    ) -> StepResult<Commit> {
        self.script.called("checkout", id.as_str())?;
        go_on(ctx)?;
        let file = folder.join("COMMIT");
        std::fs::write(&file, id.as_str())
            .map_err(|error| Fault::io("write", file.display(), error))?;
        Ok(commit(id.clone()))
    }
}
