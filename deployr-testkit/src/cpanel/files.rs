//! The account's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::api::{Call, Done};
use super::{Inner, Renames};

impl Inner {
    pub(super) fn fileman(&self, call: &Call) -> Done {
        match call.function.trim_start_matches("Fileman/") {
            "get_file_content" => {
                let path = self.file(call)?;
                let text = fs::read(&path).map_err(|error| said(&path, &error))?;
                Ok(json!({"content": String::from_utf8_lossy(&text), "path": path}))
            }
            "get_file_information" => {
                let path = self.resolve(call.get("path"))?;
                match fs::metadata(&path) {
                    Ok(_) => Ok(json!({"exists": 1, "fullpath": path})),
                    Err(_) if self.state().host.wrapped => {
                        Err(format!("“{}” does not exist.", path.display()))
                    }
                    Err(_) => Ok(json!({"exists": 0, "fullpath": path})),
                }
            }
            "list_files" => self.list(call),
            "save_file_content" => {
                let path = self.file(call)?;
                self.has_room(call.get("content").len() as u64)?;
                fs::write(&path, call.get("content")).map_err(|error| said(&path, &error))?;
                Ok(json!({"path": path}))
            }
            "upload_files" => self.take_upload(call),
            "mkdir" => {
                let path = self.resolve(&format!("{}/{}", call.get("path"), call.get("name")))?;
                self.has_room(0)?;
                fs::create_dir(&path).map_err(|error| said(&path, &error))?;
                Ok(json!([{"path": path}]))
            }
            _ => self.fileop(call),
        }
    }

    /// A path of the account, absolute or below its home; none leads out of it, by no link
    /// either.
    fn resolve(&self, text: &str) -> Result<PathBuf, String> {
        let home = self.home();
        let mut path = PathBuf::new();
        for part in home.join(text).components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                Component::CurDir => {}
                other => path.push(other),
            }
        }
        let real = path
            .ancestors()
            .skip(1)
            .find_map(|above| above.canonicalize().ok());
        let inside = |real: PathBuf| real.starts_with(home.canonicalize().unwrap_or_default());
        match path.starts_with(&home) && (path == home || real.is_some_and(inside)) {
            true => Ok(path),
            false => Err(format!(
                "Access denied: “{text}” is not in the home directory."
            )),
        }
    }

    fn file(&self, call: &Call) -> Result<PathBuf, String> {
        let name = call.get("file");
        if name.contains('/') {
            return Err(format!("“{name}” is not a valid file name."));
        }
        self.resolve(&format!("{}/{name}", call.get("dir")))
    }

    fn list(&self, call: &Call) -> Done {
        let dir = self.resolve(call.get("dir"))?;
        let entries = fs::read_dir(&dir).map_err(|error| said(&dir, &error))?;
        let hidden = call.get("show_hidden") == "1";
        let mut items = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(meta) = entry.metadata() else { continue };
            let kind = match meta.file_type() {
                kind if kind.is_symlink() => "link",
                kind if kind.is_dir() => "dir",
                _ => "file",
            };
            if hidden || !name.starts_with('.') {
                let mtime = meta.mtime();
                items.push(json!({"file": name, "type": kind, "mtime": mtime, "exists": 1}));
            }
        }
        if !self.state().host.wrapped {
            return Ok(json!(items));
        }
        let (dirs, files): (Vec<Value>, Vec<Value>) =
            items.into_iter().partition(|item| item["type"] == "dir");
        Ok(json!({"dirs": dirs, "files": files}))
    }

    fn take_upload(&self, call: &Call) -> Done {
        let Some((name, content)) = &call.file else {
            return Err("No file was uploaded.".to_owned());
        };
        // As a browser may send it, with a path of its own.
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let path = self.resolve(&format!("{}/{name}", call.get("dir")))?;
        let limit = self.state().host.upload;
        if limit.is_some_and(|limit| content.len() as u64 > limit) {
            return Err("The uploaded file is larger than the maximum size.".to_owned());
        }
        let taken = self.has_room(content.len() as u64).and_then(|()| {
            fs::write(&path, content).map_err(|error| said(&path, &error))?;
            let mode = u32::from_str_radix(call.get("permissions"), 8).unwrap_or(0o644);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(|error| error.to_string())
        });
        let (status, reason) = match taken {
            Ok(()) => (1, String::new()),
            Err(words) => (0, words),
        };
        Ok(
            json!({"uploads": [{"file": name, "size": content.len(), "status": status, "reason": reason}],
            "succeeded": status, "failed": 1 - status}),
        )
    }

    fn fileop(&self, call: &Call) -> Done {
        let from = self.resolve(call.get("sourcefiles"))?;
        let to = || self.resolve(call.get("destfiles"));
        let host = self.state().host.clone();
        let is_there = fs::symlink_metadata(&from).is_ok();
        match call.get("op") {
            "link" if !host.links => Err("Operation not permitted".to_owned()),
            "link" => {
                self.has_room(0)?;
                symlink(&from, to()?).map_err(|error| said(&from, &error))?;
                Ok(json!([{"src": from, "result": 1}]))
            }
            _ if !is_there => Err(format!("“{}” does not exist.", from.display())),
            "rename" => {
                let mut to = to()?;
                match host.renames {
                    Renames::Refuses if fs::symlink_metadata(&to).is_ok() => {
                        return Err(format!("“{}” already exists.", to.display()));
                    }
                    Renames::MovesInto if to.is_dir() => {
                        to.push(from.file_name().unwrap_or_default())
                    }
                    _ => {}
                }
                fs::rename(&from, &to).map_err(|error| said(&to, &error))?;
                Ok(json!([{"src": from, "dest": to, "result": 1}]))
            }
            "unlink" if from.is_dir() && !from.is_symlink() && !host.unlinks_folders => {
                Err("Is a directory".to_owned())
            }
            "unlink" => {
                let removed = match from.is_dir() && !from.is_symlink() {
                    true => fs::remove_dir_all(&from),
                    false => fs::remove_file(&from),
                };
                removed.map_err(|error| said(&from, &error))?;
                Ok(json!([{"src": from, "result": 1}]))
            }
            "trash" => {
                let trash = self.home().join(".trash");
                fs::create_dir_all(&trash).map_err(|error| error.to_string())?;
                let name = from.file_name().unwrap_or_default();
                let place = (0..).map(|again| trash.join(format!("{again}.{}", name.display())));
                let place = place.into_iter().find(|place| !place.exists());
                fs::rename(&from, place.unwrap_or(trash)).map_err(|error| said(&from, &error))?;
                Ok(json!([{"src": from, "result": 1}]))
            }
            "extract" => self.extract(&from, &to()?),
            other => Err(format!("The fake has no op {other}")),
        }
    }

    /// By the system's own `tar`, as the real one does: it takes the leading `/` away, and
    /// refuses what has `..` in it.
    fn extract(&self, archive: &Path, dir: &Path) -> Done {
        if !archive.to_string_lossy().ends_with(".tar.gz") {
            return Err("The archive's type is not known.".to_owned());
        }
        let mut tar = Command::new("tar");
        let tar = tar
            .args(["--no-same-owner", "-xpzf"])
            .arg(archive)
            .arg("-C")
            .arg(dir);
        let output = tar.output().map_err(|error| error.to_string())?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(words);
        }
        self.has_room(0)?;
        Ok(json!([{"src": archive, "dest": dir, "result": 1, "output": words}]))
    }

    /// Refuses what would be more than the quota.
    fn has_room(&self, more: u64) -> Result<(), String> {
        let host = self.state().host.clone();
        if host.quota.is_none() && host.inodes.is_none() {
            return Ok(());
        }
        let (bytes, files) = used(&self.home());
        let over = host.quota.is_some_and(|quota| bytes + more > quota)
            || host.inodes.is_some_and(|inodes| files > inodes);
        match over {
            true => Err("Disk quota exceeded".to_owned()),
            false => Ok(()),
        }
    }

    pub(super) fn quota(&self) -> Value {
        let host = self.state().host.clone();
        let (bytes, files) = used(&self.home());
        json!({"byte_limit": host.quota.unwrap_or(0).to_string(), "bytes_used": bytes,
            "inode_limit": host.inodes.unwrap_or(0), "inodes_used": files})
    }
}

/// Bytes and files below.
fn used(folder: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        files += 1;
        if meta.is_dir() {
            let (more_bytes, more_files) = used(&entry.path());
            bytes += more_bytes;
            files += more_files;
        } else {
            bytes += meta.len();
        }
    }
    (bytes, files)
}

fn said(path: &Path, error: &std::io::Error) -> String {
    let words = match error.kind() {
        std::io::ErrorKind::NotFound => "No such file or directory",
        std::io::ErrorKind::AlreadyExists => "File exists",
        _ => return format!("{}: {error}", path.display()),
    };
    format!("“{}”: {words}", path.display())
}
