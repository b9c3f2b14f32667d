//! A checkout of a repository together with its submodules.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::source::{Commit, Source};
use deployr_core::value::{CommitId, GitRef};

use crate::checkout::{Export, Gitlink};
use crate::error::{Trouble, blocking, printable, refused};
use crate::mirror::Access;
use crate::{GitSource, find, submodules};

/// Submodules of submodules of submodules of submodules, and no deeper.
const MAX_DEPTH: usize = 4;

/// One repository of a checkout, and the folder that its tree goes to.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    source: Source,
    commit: CommitId,
    at: PathBuf,
    depth: usize,
}

impl Part {
    pub(crate) fn top(source: &Source, commit: &CommitId) -> Self {
        let (source, commit) = (source.clone(), commit.clone());
        Self {
            source,
            commit,
            at: PathBuf::new(),
            depth: 0,
        }
    }
}

struct Exported {
    commit: Commit,
    gitlinks: Vec<Gitlink>,
    modules: String,
}

/// Which repository of a checkout failed.
pub(crate) struct Failed {
    pub(crate) source: Source,
    pub(crate) trouble: Trouble,
}

impl Failed {
    fn step(source: &Source, error: StepError) -> Self {
        Self {
            source: source.clone(),
            trouble: error.into(),
        }
    }
}

impl GitSource {
    /// Writes one repository's tree, fetching first where that is needed.
    async fn export(
        &self,
        part: &Part,
        mut export: Export,
        ctx: &StepContext,
    ) -> Result<(Export, Exported), Trouble> {
        let mirror = self.mirror(&part.source);
        let url = part.source.url.as_str().to_owned();
        let id = find::oid(&url, &part.commit)?;
        let lock = mirror.lock(Access::Read, &ctx.cancel).await?;
        let at = part.at.clone();
        // Two results: what the thread itself says, and what the mirror says.
        blocking(move || {
            let _lock = lock;
            let run = || {
                let repository = mirror.open()?;
                let commit = find::commit(&url, &repository, id)?
                    .ok_or_else(|| Trouble::Broken(format!("the commit {id} is missing")))?;
                let tree = commit.tree().map_err(|e| Trouble::git(&url, &e))?;
                let gitlinks = export.tree(&mirror, &repository, &tree, &at)?;
                let modules = find::gitmodules(&repository, &tree);
                Ok((
                    export,
                    Exported {
                        commit: find::described(&commit)?,
                        gitlinks,
                        modules,
                    },
                ))
            };
            Ok(run())
        })
        .await?
    }

    /// One attempt at a whole checkout.
    pub(crate) async fn attempt(
        &self,
        top: &Part,
        folder: &Path,
        ctx: &StepContext,
    ) -> Result<Commit, Failed> {
        let mut export = Export::new(top.source.url.as_str(), folder, &self.options.limits, ctx);
        let mut ahead = vec![top.clone()];
        let mut first = None;
        while let Some(part) = ahead.pop() {
            let result = self.export(&part, export, ctx).await;
            let (back, done) = result.map_err(|trouble| Failed {
                source: part.source.clone(),
                trouble,
            })?;
            export = back;
            first.get_or_insert(done.commit);
            if done.gitlinks.is_empty() {
                continue;
            }
            if !part.source.submodules {
                let count = done.gitlinks.len();
                ctx.log
                    .say(format!("Submodules are off: {count} folder(s) left empty"))
                    .await;
                continue;
            }
            let modules = submodules::parse(&done.modules);
            for gitlink in &done.gitlinks {
                let next = self.submodule(&part, gitlink, &modules, ctx).await;
                ahead.push(next.map_err(|error| Failed::step(&part.source, error))?);
            }
        }
        export
            .finish()
            .map_err(|error| Failed::step(&top.source, error))?;
        first.ok_or_else(|| {
            let fault = Fault::permanent("checkout", &top.source.url, "nothing was written");
            Failed::step(&top.source, fault.into())
        })
    }

    /// Fetches a submodule, so that the server has its say about the credentials.
    async fn submodule(
        &self,
        parent: &Part,
        gitlink: &Gitlink,
        modules: &HashMap<String, String>,
        ctx: &StepContext,
    ) -> StepResult<Part> {
        let shown = printable(&gitlink.path.to_string_lossy());
        let url = parent.source.url.as_str();
        if parent.depth >= MAX_DEPTH {
            let why = format!("its submodules are nested deeper than {MAX_DEPTH}, at {shown}");
            return Err(refused(url, why));
        }
        let path = gitlink
            .path
            .strip_prefix(&parent.at)
            .unwrap_or(&gitlink.path);
        let address = path
            .to_str()
            .and_then(|path| modules.get(path))
            .ok_or_else(|| {
                refused(
                    url,
                    format_args!("its submodule {shown} has no address in .gitmodules"),
                )
            })?;
        let source = submodules::source(&self.options, &parent.source, path, address)?;
        let commit = CommitId::parse(&gitlink.commit)
            .map_err(|error| refused(url, format_args!("its submodule {shown}: {error}")))?;
        let reference = GitRef::Commit(commit.clone());
        self.find(&source, &reference, ctx).await?;
        Ok(Part {
            source,
            commit,
            at: gitlink.path.clone(),
            depth: parent.depth + 1,
        })
    }
}
