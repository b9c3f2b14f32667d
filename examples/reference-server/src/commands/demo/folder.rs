//! The folder of a demo, and those that killed ones have left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::Uid;
use tempfile::TempDir;

use crate::data::{DataDir, Lock};
use crate::exit::{Error, Result};

const PASSING: &str = "deployr-demo-";
const KEPT: &str = "deployr-kept-demo-";

/// A folder that goes with its owner, unless it is to be kept.
pub(super) fn make(keep: bool) -> Result<TempDir> {
    remove_left_over(&std::env::temp_dir());
    tempfile::Builder::new()
        .prefix(if keep { KEPT } else { PASSING })
        .disable_cleanup(keep)
        .tempdir()
        .map_err(|error| Error::io("make a folder for the demo", error))
}

/// Best effort: what is left costs only space.
fn remove_left_over(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(PASSING);
        let is_ours = entry
            .metadata()
            .is_ok_and(|found| found.is_dir() && found.uid() == Uid::effective().as_raw());
        if is_one && is_ours {
            remove_if_dead(&entry.path());
        }
    }
}

/// Whoever has made a database has locked it before, and has it locked until the end.
fn remove_if_dead(folder: &Path) {
    if let Ok(data) = DataDir::existing(&folder.join("data"))
        && let Ok(Lock::Taken(_)) = data.lock("demo")
    {
        let _ = fs::remove_dir_all(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_demo_has_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let demo = |name: &str| {
            let data = DataDir::open(&parent.path().join(name).join("data")).unwrap();
            fs::write(data.database(), "").unwrap();
            data
        };
        demo("deployr-demo-dead");
        let alive = demo("deployr-demo-alive").lock("demo").unwrap();
        fs::create_dir(parent.path().join("deployr-demo-new")).unwrap();
        demo("deployr-kept-demo-1");
        demo("other");
        remove_left_over(parent.path());
        let left = fs::read_dir(parent.path()).unwrap().flatten();
        let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        left.sort();
        let expected = [
            "deployr-demo-alive",
            "deployr-demo-new",
            "deployr-kept-demo-1",
            "other",
        ];
        assert_eq!(left, expected);
        drop(alive);
    }
}
