//! Repositories as people name them: an address, or a folder of this machine.

use std::path::{Path, PathBuf};

use deployr_core::value::{GitUrl, InputCode, InvalidValue, ProjectName, UrlPolicy};

use crate::exit::{Error, Result};

/// The repository of that name.
pub(crate) fn parse(text: &str, policy: &UrlPolicy) -> Result<GitUrl> {
    let Some(path) = folder(text) else {
        return GitUrl::parse_with(text, policy).map_err(|refused| explain(text, refused));
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
    Ok(GitUrl::local(&path)?)
}

/// The project's name where nobody gives one.
pub(crate) fn name(url: &GitUrl) -> Result<ProjectName> {
    ProjectName::parse(url.repo_name())
        .map_err(|refused| Error::usage(refused).hint("give it another with --name"))
}

fn explain(text: &str, refused: InvalidValue) -> Error {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let hint = match (refused.code, scheme) {
        (InputCode::RepoUrlScheme, None) => {
            "a folder of this machine is written with a `/` or a `.`, as in ./site; `deployr list` \
             shows the projects that there are"
        }
        (InputCode::RepoUrlScheme, Some("http")) => {
            "nothing protects what comes over http:// on its way; within a network of your own \
             the setting `allow_private_hosts` allows it"
        }
        (InputCode::RepoUrlScheme, Some(_)) => {
            "most servers have the same repository at an https:// address"
        }
        (InputCode::RepoUrlPrivateHost, _) => "the setting `allow_private_hosts` allows it",
        (InputCode::RepoUrlCredentials, _) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_folders_are_told_apart() {
        let policy = UrlPolicy {
            allow_local: true,
            ..UrlPolicy::default()
        };
        let remote = parse("git@github.com:acme/site.git", &policy).unwrap();
        assert_eq!(remote.as_str(), "ssh://git@github.com/acme/site.git");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my site");
        std::fs::create_dir(&path).unwrap();
        let local = parse(path.to_str().unwrap(), &policy).unwrap();
        assert_eq!(name(&local).unwrap().as_str(), "my site");
        assert!(parse(path.to_str().unwrap(), &UrlPolicy::default()).is_err());
    }

    #[test]
    fn a_refusal_says_what_to_write_instead() {
        for (text, hint) in [
            ("not a repository", "written with a `/` or a `.`"),
            ("http://example.com/x.git", "allow_private_hosts"),
            ("ftp://example.com/x.git", "https:// address"),
            ("https://10.0.0.1/x.git", "allow_private_hosts"),
        ] {
            let refused = parse(text, &UrlPolicy::default()).unwrap_err().to_string();
            let (rule, help) = refused.split_once("help: ").unwrap();
            assert!(rule.contains("repo_url"), "{refused}");
            assert!(help.contains(hint), "{refused}");
        }
    }
}
