//! Options that several commands share.

use std::path::{Path, PathBuf};

use deployr_core::value::{BranchName, CommitId, EnvName, EnvSet, EnvValue, GitRef, TagName};

use crate::exit::{Error, Result};

/// Which revision of the repository to take: a branch, a tag or a commit.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Reference {
    /// The newest commit of this branch. A new project keeps it; else this time only
    #[arg(long)]
    branch: Option<String>,
    /// The commit that this tag points at
    #[arg(long)]
    tag: Option<String>,
    /// This commit, by its full id
    #[arg(long)]
    commit: Option<String>,
}

impl Reference {
    /// None where nothing is asked for: the project's branch.
    pub(crate) fn parse(&self) -> Result<Option<GitRef>> {
        Ok(match (&self.branch, &self.tag, &self.commit) {
            (Some(branch), ..) => Some(GitRef::Branch(BranchName::parse(branch)?)),
            (_, Some(tag), _) => Some(GitRef::Tag(TagName::parse(tag)?)),
            (.., Some(commit)) => Some(GitRef::Commit(CommitId::parse(commit)?)),
            _ => None,
        })
    }
}

/// Variables on the command line and in a file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Variables {
    /// A variable of the project's environment, kept until `deployr env unset`; NAME alone takes the value that it has here
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// A file with one NAME=VALUE a line; others cannot see it in the list of processes
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
}

impl Variables {
    /// Those on the command line win.
    pub(crate) fn parse(&self) -> Result<EnvSet> {
        parse_variables(&self.env, self.env_file.as_deref())
    }
}

pub(crate) fn parse_variables(pairs: &[String], file: Option<&Path>) -> Result<EnvSet> {
    let mut set = EnvSet::default();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("cannot read {}: {error}", path.display())))?;
        for (at, line) in text.lines().enumerate() {
            if let Some((name, value)) = file_line(line).map_err(|rule| {
                Error::usage(format!("{} line {}: {rule}", path.display(), at + 1))
            })? {
                set.insert(EnvName::parse(name)?, EnvValue::parse(value)?)?;
            }
        }
    }
    for pair in pairs {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (EnvName::parse(name)?, value.to_owned()),
            None => {
                let name = EnvName::parse(pair)?;
                let value = std::env::var(pair).map_err(|_| {
                    Error::usage(format!("{name} has no value here; write {name}=VALUE"))
                })?;
                (name, value)
            }
        };
        set.insert(name, EnvValue::try_from(value)?)?;
    }
    Ok(set)
}

/// `NAME=value`, `NAME="value"`, `export NAME=value`, or nothing.
fn file_line(line: &str) -> std::result::Result<Option<(&str, &str)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("must be NAME=VALUE")?;
    let value = value.trim();
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Ok(Some((name.trim(), quoted.unwrap_or(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_from_the_file_and_over_it_from_the_command_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(
            &mut file,
            b"# all of it\nexport MODE=\"from the file\"\nTOKEN=a=b \n\n",
        )
        .unwrap();
        let set = parse_variables(&["MODE=here".to_owned()], Some(file.path())).unwrap();
        let values: Vec<_> = set
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(values, [("MODE", "here"), ("TOKEN", "a=b")]);
    }

    #[test]
    fn a_refused_line_does_not_show_its_secret() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"hunter2\n").unwrap();
        let refused = parse_variables(&[], Some(file.path()))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("line 1") && !refused.contains("hunter2"),
            "{refused}"
        );
    }
}
