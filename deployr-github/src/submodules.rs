//! Where a repository's submodules are.

use std::collections::HashMap;
use std::path::Path;

use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::source::Source;
use deployr_core::value::{GitScheme, GitUrl, UrlPolicy};

use crate::error::printable;
use crate::options::Options;

/// From `.gitmodules`: the address of each path. Read by ourselves: libgit2's reader
/// follows `include`, and this file was written by strangers.
pub(crate) fn parse(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let (mut path, mut url) = (None, None);
    for line in text.lines().map(str::trim).chain(["["]) {
        if line.starts_with('[') {
            if let (Some(path), Some(url)) = (path.take(), url.take()) {
                found.insert(path, url);
            }
            (path, url) = (None, None);
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_matches('"').to_owned();
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => path = Some(value),
                "url" => url = Some(value),
                _ => {}
            }
        }
    }
    found
}

/// The submodule at `path` of `parent`, which wrote `address` for it. Held to the same
/// rules as any address, and never to weaker ones than its parent's.
pub(crate) fn source(
    options: &Options,
    parent: &Source,
    path: &Path,
    address: &str,
) -> StepResult<Source> {
    let policy = UrlPolicy {
        allow_private_hosts: options.allow_private_hosts,
        allow_local: options.allow_local && parent.url.scheme() == GitScheme::Local,
        allow_plain_http: parent.url.scheme() == GitScheme::Http,
    };
    let absolute = absolute(&parent.url, address);
    let url = GitUrl::parse_with(&absolute, &policy).map_err(|error| {
        let message = format!(
            "the submodule {} of {} cannot be fetched: its address {error}; correct it in \
             .gitmodules",
            printable(&path.to_string_lossy()),
            parent.url
        );
        StepError::verdict(VerdictCode::RepositoryRefused, message)
    })?;
    // What a repository names is not what its owner was trusted with: credentials go
    // to the very same server, and nowhere else.
    let same = url.scheme() == parent.url.scheme()
        && url.host() == parent.url.host()
        && url.port() == parent.url.port()
        && url.user() == parent.url.user();
    let credentials = parent.credentials.clone().filter(|_| same);
    Ok(Source {
        url,
        credentials,
        submodules: true,
    })
}

/// `./x` and `../x` are relative to the parent's address, as git has it.
fn absolute(parent: &GitUrl, address: &str) -> String {
    if !address.starts_with("./") && !address.starts_with("../") {
        return address.to_owned();
    }
    let (origin, path) = parent
        .as_str()
        .split_at(parent.as_str().len() - parent.path().len());
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    for part in address.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("{origin}/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_gitmodules() {
        let text = "[submodule \"a\"]\n\tpath = lib/a\n\turl = ../a.git\n[submodule \"b\"]\n\turl = \
                    https://x.example/b\n\tpath = b\n[include]\n\tpath = /etc/passwd\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found["lib/a"], "../a.git");
        assert_eq!(found["b"], "https://x.example/b");
    }

    #[test]
    fn relative_addresses() {
        let parent = GitUrl::parse("https://git.example.org/acme/app.git").unwrap();
        assert_eq!(
            absolute(&parent, "../lib.git"),
            "https://git.example.org/acme/lib.git"
        );
        assert_eq!(
            absolute(&parent, "./x"),
            "https://git.example.org/acme/app.git/x"
        );
        assert_eq!(
            absolute(&parent, "../../../../x/y"),
            "https://git.example.org/x/y"
        );
        assert_eq!(absolute(&parent, "ssh://h.example/x"), "ssh://h.example/x");
    }
}
