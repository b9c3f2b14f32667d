//! Which branch a new project follows.

use deployr_core::engine::{Engine, EngineError};
use deployr_core::error::VerdictCode;
use deployr_core::value::{BranchName, GitRef, GitUrl};

use crate::exit::{Error, Result};

/// The branch that is asked for, else the repository's own. Asks the repository, so that
/// no project is made of one that is not there or has not what is asked for.
pub(crate) async fn of_new(
    engine: &Engine,
    url: &GitUrl,
    wanted: Option<&GitRef>,
) -> Result<BranchName> {
    if let Some(wanted) = wanted
        && let GitRef::Branch(branch) = engine.look_up(url, Some(wanted)).await?
    {
        return Ok(branch);
    }
    match engine.look_up(url, None).await {
        Ok(GitRef::Branch(branch)) => Ok(branch),
        Ok(other) => Err(Error::fault(format!("{other} is no branch"))),
        // Whoever names a commit need not be on a branch, as is usual in CI.
        Err(EngineError::Verdict(verdict))
            if wanted.is_some() && verdict.code == VerdictCode::RefNotFound =>
        {
            Ok(BranchName::main())
        }
        Err(error) => Err(told(error)),
    }
}

fn told(error: EngineError) -> Error {
    let no_branch = matches!(&error, EngineError::Verdict(verdict)
        if verdict.code == VerdictCode::RefNotFound);
    let error = Error::from(error);
    match no_branch {
        true => error.hint("--branch NAME, --tag NAME and --commit ID name what to deploy"),
        false => error,
    }
}
