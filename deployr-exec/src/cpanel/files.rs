//! Files of the account. All paths are relative to its home.

use deployr_core::error::{Fault, StepError, StepResult};
use serde_json::Value;

use super::call::{Call, is_one, items};
use super::client::{Client, Failed};

/// What lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// When it was changed, in seconds since 1970 by the host's clock.
    pub(super) mtime: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    File,
    Link,
    Other,
}

/// What lies in a folder, and when that was looked at by the host's clock.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) time: Option<i64>,
}

impl Listing {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// The folder and the name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

impl Client {
    /// All that lies in a folder; nothing where there is none.
    pub(super) async fn list(&self, dir: &str) -> StepResult<Listing> {
        let call = Call::uapi("Fileman", "list_files")
            .with("dir", dir)
            .with("show_hidden", "1");
        match self.ask(&call).await {
            Ok(answer) => {
                let both = ["dirs", "files"].map(|key| answer.data.get(key).map(items));
                let all = match both {
                    [None, None] => items(&answer.data),
                    both => both.into_iter().flatten().flatten().collect(),
                };
                Ok(Listing {
                    entries: all.into_iter().filter_map(entry).collect(),
                    time: answer.time,
                })
            }
            Err(Failed::Refused(said)) => match self.is_there(dir).await? {
                true => Err(self.explain(&call, Failed::Refused(said))),
                false => Ok(Listing::default()),
            },
            Err(failed) => Err(self.explain(&call, failed)),
        }
    }

    /// Whether a path is there; one that leads nowhere is not.
    pub(super) async fn is_there(&self, path: &str) -> StepResult<bool> {
        let call = Call::uapi("Fileman", "get_file_information")
            .with("path", path)
            .with("show_hidden", "1");
        match self.ask(&call).await {
            Ok(answer) => Ok(answer.data.get("exists").is_none_or(is_one)),
            Err(Failed::Refused(said)) if is_missing(&said) => Ok(false),
            Err(failed) => Err(self.explain(&call, failed)),
        }
    }

    /// A small text; none where there is no such file.
    pub(super) async fn read_file(&self, path: &str) -> StepResult<Option<String>> {
        let (dir, file) = split(path);
        let call = Call::uapi("Fileman", "get_file_content")
            .with("dir", dir)
            .with("file", file)
            .with("to_charset", "UTF-8");
        match self.ask(&call).await {
            Ok(answer) => {
                let content = answer.data.get("content").and_then(Value::as_str);
                Ok(Some(content.unwrap_or_default().to_owned()))
            }
            Err(Failed::Refused(said)) => match self.is_there(path).await? {
                true => Err(self.explain(&call, Failed::Refused(said))),
                false => Ok(None),
            },
            Err(failed) => Err(self.explain(&call, failed)),
        }
    }

    pub(super) async fn write_file(&self, path: &str, content: &str) -> StepResult<()> {
        let (dir, file) = split(path);
        let call = Call::uapi("Fileman", "save_file_content")
            .with("dir", dir)
            .with("file", file)
            .with("from_charset", "UTF-8")
            .with("to_charset", "UTF-8")
            .with("content", content);
        let is_there = async { Ok(self.read_file(path).await?.as_deref() == Some(content)) };
        let written = self.change(&call, is_there).await;
        written.map_err(|failed| self.explain(&call, failed))
    }

    /// Makes a folder. False where there was something of that name already: of those who
    /// ask at the same time, one gets true.
    pub(super) async fn make_dir(&self, path: &str) -> StepResult<bool> {
        let (dir, name) = split(path);
        let call = Call::api2("Fileman", "mkdir")
            .with("path", dir)
            .with("name", name)
            .with("permissions", "0755");
        match self.once(&call).await {
            Ok(_) => Ok(true),
            Err(Failed::Refused(said)) if says_exists(&said) => Ok(false),
            Err(failed) => Err(self.explain(&call, failed)),
        }
    }

    /// Makes a folder and those that it lies in.
    pub(super) async fn make_dirs(&self, path: &str) -> StepResult<()> {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        let ends: Vec<usize> = ends.collect();
        // Mostly all is there but the last.
        let mut first = ends.len();
        while first > 0 && !self.is_there(&path[..ends[first - 1]]).await? {
            first -= 1;
        }
        for end in &ends[first..] {
            self.make_dir_again(&path[..*end]).await?;
        }
        Ok(())
    }

    /// The same, where nobody minds who has made it.
    pub(super) async fn make_dir_again(&self, path: &str) -> StepResult<()> {
        match self.make_dir(path).await {
            Err(StepError::Fault(fault)) if fault.retryable => match self.is_there(path).await? {
                true => Ok(()),
                false => self.make_dir(path).await.map(drop),
            },
            made => made.map(drop),
        }
    }

    /// Makes `name` a link to `to`.
    pub(super) async fn link(&self, to: &str, name: &str) -> StepResult<()> {
        let call = Call::fileop("link", to, Some(name));
        let (dir, of) = split(name);
        let is_there = async { Ok(self.list(dir).await?.get(of).is_some()) };
        match self.change(&call, is_there).await {
            Ok(()) => Ok(()),
            Err(Failed::Refused(said)) if says_exists(&said) => Ok(()), // by a call whose answer was lost
            Err(Failed::Refused(said)) => {
                let reason = format!(
                    "{call}: {said}; the host must let the account make symbolic links, since \
                     by one it switches: ask it to, or use a target of another kind"
                );
                Err(Fault::permanent("call", self.target(), reason).into())
            }
            Err(failed) => Err(self.explain(&call, failed)),
        }
    }

    /// Gives a path another name. What is gone already was renamed by a call whose answer
    /// was lost.
    pub(super) async fn rename(&self, from: &str, to: &str) -> StepResult<()> {
        let call = Call::fileop("rename", from, Some(to));
        let is_done = || async { Ok(self.is_there(to).await? && !self.is_there(from).await?) };
        match self.change(&call, is_done()).await {
            Err(Failed::Refused(said)) if is_missing(&said) => match is_done().await? {
                true => Ok(()),
                false => Err(self.explain(&call, Failed::Refused(said))),
            },
            done => done.map_err(|failed| self.explain(&call, failed)),
        }
    }

    /// Removes a file, a link or a folder with all that is in it.
    pub(super) async fn remove(&self, path: &str) -> StepResult<()> {
        let (dir, name) = split(path);
        let is_gone = || async { Ok(self.list(dir).await?.get(name).is_none()) };
        let unlink = Call::fileop("unlink", path, None);
        let said = match self.change(&unlink, is_gone()).await {
            Ok(()) => return Ok(()),
            Err(Failed::Refused(said)) => said,
            Err(failed) => return Err(self.explain(&unlink, failed)),
        };
        if is_gone().await? {
            return Ok(());
        }
        // Some hosts remove no folders so, but put them into the trash.
        let trash = Call::fileop("trash", path, None);
        match self.change(&trash, is_gone()).await {
            Ok(()) => Ok(()),
            Err(Failed::Refused(_)) if is_gone().await? => Ok(()),
            Err(Failed::Refused(_)) => Err(self.explain(&unlink, Failed::Refused(said))),
            Err(failed) => Err(self.explain(&trash, failed)),
        }
    }

    /// Removes a file that may be gone already.
    pub(super) async fn remove_file(&self, path: &str) -> StepResult<()> {
        let call = Call::fileop("unlink", path, None);
        match self.ask(&call).await {
            Err(Failed::Refused(said)) if is_missing(&said) => Ok(()),
            done => done.map(drop).map_err(|failed| self.explain(&call, failed)),
        }
    }

    pub(super) async fn extract(&self, archive: &str, dir: &str) -> StepResult<()> {
        let call = Call::fileop("extract", archive, Some(dir));
        self.call(&call).await.map(drop)
    }
}

fn entry(item: &Value) -> Option<Entry> {
    let name = item.get("file").and_then(Value::as_str)?;
    let kind = match item.get("type").and_then(Value::as_str) {
        Some("dir") => Kind::Dir,
        Some("link") => Kind::Link,
        Some("file") | None => Kind::File,
        Some(_) => Kind::Other,
    };
    let mtime = item.get("mtime").and_then(super::call::number);
    Some(Entry {
        name: name.to_owned(),
        kind,
        mtime: mtime.and_then(|time| i64::try_from(time).ok()),
    })
}

fn says_exists(said: &str) -> bool {
    said.to_lowercase().contains("exist") && !is_missing(said)
}

fn is_missing(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "does not exist",
        "no such file",
        "not found",
        "doesn’t exist",
        "doesn't exist",
        "do not exist",
    ]
    .iter()
    .any(|words| said.contains(words))
}
