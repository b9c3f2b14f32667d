//! The sample repository.

use std::path::Path;

use git2::{IndexAddOption, Repository, RepositoryInitOptions, Signature};

use crate::exit::{Error, Result};

const FILES: &[(&str, &str)] = &[
    ("build.sh", include_str!("site/build.sh")),
    ("deployr.toml", include_str!("site/deployr.toml")),
    ("pages/about.html", include_str!("site/about.html")),
    ("pages/index.html", include_str!("site/index.html")),
    ("style.css", include_str!("site/style.css")),
];

/// Makes the repository at `path`, with version 1 as its only commit.
pub(super) fn create(path: &Path) -> Result<()> {
    let write = || {
        std::fs::create_dir_all(path.join("pages"))?;
        FILES
            .iter()
            .try_for_each(|(name, text)| std::fs::write(path.join(name), text))
    };
    write().map_err(|error| Error::io(format!("write {}", path.display()), error))?;
    Repository::init_opts(path, RepositoryInitOptions::new().initial_head("main")).map_err(git)?;
    commit(path, 1)
}

/// Commits the next version.
pub(super) fn commit(path: &Path, version: u32) -> Result<()> {
    std::fs::write(path.join("VERSION"), version.to_string())
        .map_err(|error| Error::io(format!("write {}", path.display()), error))?;
    commit_all(path, &format!("Version {version}")).map_err(git)
}

fn commit_all(path: &Path, message: &str) -> std::result::Result<(), git2::Error> {
    let repository = Repository::open(path)?;
    let mut index = repository.index()?;
    index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let parent = repository
        .head()
        .ok()
        .map(|head| head.peel_to_commit())
        .transpose()?;
    let author = Signature::now("deployr demo", "demo@localhost")?;
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("HEAD"), &author, &author, message, &tree, &parents)?;
    Ok(())
}

fn git(error: git2::Error) -> Error {
    Error::fault(error).hint("the sample repository could not be made")
}
