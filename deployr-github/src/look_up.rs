//! Asks a repository what it has, without fetching it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::source::Source;
use deployr_core::value::{BranchName, GitRef};
use git2::{Direction, Remote, RemoteHead};

use crate::error::{Trouble, blocking, printable};
use crate::options::Options;
use crate::transport::{Session, enter};
use crate::{find, source};

/// What the server tells at the beginning of a fetch.
struct Listing {
    /// Full names: `refs/heads/main`.
    names: Vec<String>,
    /// Full name of the branch that `HEAD` stands for.
    default: Option<String>,
}

/// Whether the repository has what is wanted; its default branch where nothing is named.
pub(crate) async fn look_up(
    options: &Options,
    source: &Source,
    wanted: Option<&GitRef>,
    ctx: &StepContext,
) -> StepResult<GitRef> {
    source::go_on(ctx)?;
    let url = source.url.as_str();
    let cancel = ctx.cancel.child_token();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let session = Session::open(options, source, cancel).await?;
    let of = url.to_owned();
    let listing = blocking(move || {
        enter(&session, || list(&session.libgit2_url())).map_err(|error| {
            let failure = session.watch.failure();
            failure.unwrap_or_else(|| Trouble::git(&of, &error).give_up(&of))
        })
    });
    let listing = listing.await?;
    let not_found = |message| StepError::verdict(VerdictCode::RefNotFound, message);
    let Some(wanted) = wanted else {
        return default_branch(url, &listing).map_err(not_found);
    };
    let is_there = listing.names.contains(&wanted.full_name());
    if !is_there && !matches!(wanted, GitRef::Commit(_)) {
        let names = listing.names.iter().map(String::as_str);
        return Err(not_found(find::not_found(url, names, wanted)));
    }
    Ok(wanted.clone())
}

fn list(address: &str) -> Result<Listing, git2::Error> {
    let mut remote = Remote::create_detached(address)?;
    remote.connect(Direction::Fetch)?;
    let heads: Vec<_> = remote.list()?.iter().filter_map(head).collect();
    // Not by `Remote::default_branch`, which reads the configuration of a repository that
    // a detached remote has not: a crash in libgit2 1.9.
    let default = heads.iter().find(|(name, _)| name == "HEAD");
    Ok(Listing {
        default: default.and_then(|(_, target)| target.clone()),
        names: heads.into_iter().map(|(name, _)| name).collect(),
    })
}

/// A name, and what it stands for where that is another. Strangers choose both, and git2
/// panics where one is not UTF-8; no branch or tag of ours has such a name.
fn head(head: &RemoteHead<'_>) -> Option<(String, Option<String>)> {
    let read = || (head.name().into(), head.symref_target().map(Into::into));
    catch_unwind(AssertUnwindSafe(read)).ok()
}

fn default_branch(url: &str, listing: &Listing) -> Result<GitRef, String> {
    let name = listing.default.as_deref();
    let Some(name) = name.and_then(|name| name.strip_prefix("refs/heads/")) else {
        return Err(if listing.names.is_empty() {
            format!("{url} is empty; commit something to it first")
        } else {
            format!("{url} does not say which of its branches is meant; name one")
        });
    };
    let branch = BranchName::parse(name).map_err(|error| {
        let name = printable(name);
        format!("the default branch of {url}, {name}, cannot be deployed: {error}; name another")
    })?;
    Ok(GitRef::Branch(branch))
}
