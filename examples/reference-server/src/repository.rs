//! Repositories as people name them: an address, or a folder of this machine.

use std::path::{Path, PathBuf};

use deployr_core::value::{GitUrl, InputCode, InvalidValue, ProjectName, UrlPolicy};

use crate::exit::{Error, Result};

/// A repository, and the branch that stands for it where nobody names one.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) url: GitUrl,
    pub(crate) branch: String,
}

impl Repository {
    pub(crate) fn parse(text: &str, policy: &UrlPolicy) -> Result<Self> {
        let Some(path) = folder(text) else {
            let url = GitUrl::parse_with(text, policy).map_err(explain)?;
            return Ok(Self {
                url,
                branch: "main".into(),
            });
        };
        if !policy.allow_local {
            return Err(Error::usage(format!(
                "{text}: folders of this machine may not be deployed"
            ))
            .hint("the setting `allow_local` is false"));
        }
        let path = path
            .canonicalize()
            .map_err(|error| Error::usage(format!("no repository at {text}: {error}")))?;
        let branch = present_branch(&path).unwrap_or_else(|| "main".into());
        Ok(Self {
            url: GitUrl::local(&path)?,
            branch,
        })
    }

    /// The project's name where nobody gives one.
    pub(crate) fn name(&self) -> Result<String> {
        let name = self.url.repo_name();
        ProjectName::parse(&name)
            .map_err(|refused| Error::usage(refused).hint("give it another with --name"))?;
        Ok(name)
    }
}

fn explain(refused: InvalidValue) -> Error {
    let hint = match refused.code {
        InputCode::RepoUrlScheme => {
            "a folder of this machine is written with a `/` or a `.`, as in ./site"
        }
        InputCode::RepoUrlPrivateHost => "the setting `allow_private_hosts` allows it",
        InputCode::RepoUrlCredentials => {
            "public repositories need none; this server has no place for others yet"
        }
        _ => return Error::usage(refused),
    };
    Error::usage(refused).hint(hint)
}

/// The path, when it is one.
fn folder(text: &str) -> Option<PathBuf> {
    let looks_like_one = text == "."
        || text == ".."
        || ["/", "./", "../"]
            .iter()
            .any(|start| text.starts_with(start));
    (looks_like_one || Path::new(text).is_dir()).then(|| text.into())
}

/// The branch that is checked out there.
fn present_branch(path: &Path) -> Option<String> {
    let read = |head: PathBuf| std::fs::read_to_string(head).ok();
    let head = read(path.join(".git/HEAD")).or_else(|| read(path.join("HEAD")))?;
    Some(head.trim().strip_prefix("ref: refs/heads/")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_folders_are_told_apart() {
        let policy = UrlPolicy {
            allow_local: true,
            ..UrlPolicy::default()
        };
        let remote = Repository::parse("git@github.com:acme/site.git", &policy).unwrap();
        assert_eq!(
            (remote.url.as_str(), remote.branch.as_str()),
            ("ssh://git@github.com/acme/site.git", "main")
        );

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my site");
        std::fs::create_dir_all(path.join(".git")).unwrap();
        std::fs::write(path.join(".git/HEAD"), "ref: refs/heads/trunk\n").unwrap();
        let local = Repository::parse(path.to_str().unwrap(), &policy).unwrap();
        assert_eq!(
            (local.branch.as_str(), local.name().unwrap().as_str()),
            ("trunk", "my site")
        );

        let refused = Repository::parse("not a repository", &policy)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("repo_url"), "{refused}");
        assert!(Repository::parse(path.to_str().unwrap(), &UrlPolicy::default()).is_err());
    }
}
