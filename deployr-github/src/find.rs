//! Reads from a mirror what somebody asks for.

use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::source::Commit;
use deployr_core::value::{CommitId, GitRef};
use git2::{ErrorCode, ObjectType, Oid, Repository, Tree};

use crate::error::{Trouble, printable};

/// How many names are offered for one that is not there.
const OFFERED: usize = 5;
/// How many are looked at for that: strangers choose how many there are.
const COMPARED: usize = 2_000;

/// libgit2's form of a commit's name.
pub(crate) fn oid(url: &str, id: &CommitId) -> StepResult<Oid> {
    Oid::from_str(id.as_str()).ok().filter(|_| id.as_str().len() == 40).ok_or_else(|| {
        let message = format!(
            "the commit {id} of {url} has a SHA-256 name, and only repositories with SHA-1 names \
             can be read"
        );
        StepError::verdict(VerdictCode::Unsupported, message)
    })
}

/// A commit of the mirror, if it is there.
pub(crate) fn commit<'r>(
    url: &str,
    repository: &'r Repository,
    id: Oid,
) -> Result<Option<git2::Commit<'r>>, Trouble> {
    match repository.find_commit(id) {
        Ok(commit) => Ok(Some(commit)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(Trouble::git(url, &error)),
    }
}

/// The commit that `wanted` points at, or what to say where there is none.
pub(crate) fn reference(
    url: &str,
    repository: &Repository,
    wanted: &GitRef,
) -> Result<Result<Commit, String>, Trouble> {
    let git = |error: git2::Error| Trouble::git(url, &error);
    if let GitRef::Commit(id) = wanted {
        return match commit(url, repository, oid(url, id)?)? {
            Some(commit) => Ok(Ok(described(&commit)?)),
            None => Ok(Err(format!(
                "the commit {id} is on no branch and no tag of {url}; push it, or deploy a branch"
            ))),
        };
    }
    let found = match repository.find_reference(&wanted.full_name()) {
        Ok(found) => found,
        Err(error) if error.code() == ErrorCode::NotFound => {
            let names = names(repository).map_err(git)?;
            return Ok(Err(not_found(
                url,
                names.iter().map(String::as_str),
                wanted,
            )));
        }
        Err(error) => return Err(git(error)),
    };
    // Looked up first, since a missing object and a tag of something else look alike.
    let object = found.peel(ObjectType::Any).map_err(git)?;
    match object.peel_to_commit() {
        Ok(commit) => {
            commit.tree().map_err(git)?;
            Ok(Ok(described(&commit)?))
        }
        Err(error) if error.code() == ErrorCode::InvalidSpec || error.code() == ErrorCode::Peel => {
            Ok(Err(format!("{wanted} of {url} does not point at a commit")))
        }
        Err(error) => Err(git(error)),
    }
}

/// A commit, for the engine.
pub(crate) fn described(commit: &git2::Commit<'_>) -> StepResult<Commit> {
    let id = CommitId::parse(commit.id().to_string())
        .map_err(|error| StepError::verdict(VerdictCode::RefNotFound, error.to_string()))?;
    let summary = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default());
    Ok(Commit {
        id,
        summary: printable(&summary).chars().take(200).collect(),
    })
}

/// The text of `.gitmodules`, empty where there is none.
pub(crate) fn gitmodules(repository: &Repository, tree: &Tree<'_>) -> String {
    let entry = tree
        .get_name(".gitmodules")
        .filter(|entry| entry.filemode() & 0o170_000 == 0o100_000);
    let blob = entry.and_then(|entry| repository.find_blob(entry.id()).ok());
    let text = blob
        .filter(|blob| blob.size() < 1 << 20)
        .map(|blob| blob.content().to_vec());
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}

fn names(repository: &Repository) -> Result<Vec<String>, git2::Error> {
    let mut names = Vec::new();
    for reference in repository.references()? {
        names.push(String::from_utf8_lossy(reference?.name_bytes()).into_owned());
    }
    Ok(names)
}

/// What to say where `wanted` is not among the full `names` of a repository's refs.
pub(crate) fn not_found<'n>(
    url: &str,
    names: impl Iterator<Item = &'n str>,
    wanted: &GitRef,
) -> String {
    let (kind, prefix, kinds) = match wanted {
        GitRef::Tag(_) => ("tag", "refs/tags/", "tags"),
        _ => ("branch", "refs/heads/", "branches"),
    };
    let names = names.filter_map(|name| name.strip_prefix(prefix));
    let mut names: Vec<String> = names.map(printable).collect();
    let name = wanted.name();
    let total = names.len();
    names.truncate(COMPARED);
    names.sort_by_cached_key(|other| {
        (
            !(other.contains(name) || name.contains(other.as_str())),
            distance(name, other),
        )
    });
    names.truncate(OFFERED);
    let offer = match total {
        0 => format!("it has no {kinds} at all"),
        n if n > OFFERED => format!("among its {n} {kinds} are: {}", names.join(", ")),
        _ => format!("its {kinds} are: {}", names.join(", ")),
    };
    format!("there is no {kind} {name} in {url}; {offer}")
}

/// How many characters to change to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(255).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (j, right) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let here = (diagonal + usize::from(left != *right))
                .min(above + 1)
                .min(before + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j) {
                *cell = before;
            }
            before = here;
        }
        if let Some(last) = row.last_mut() {
            *last = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        assert_eq!(distance("main", "main"), 0);
        assert_eq!(distance("main", "mian"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
