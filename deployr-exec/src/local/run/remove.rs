//! How a project goes: its processes first, then its folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::Slug;

use super::layout::{Layout, remove_all};
use super::{LocalExecutor, blocking, running_of};
use crate::left;

/// How long its processes have to end.
const GRACE: Duration = Duration::from_secs(10);

impl LocalExecutor {
    pub(super) async fn remove_project(&self, slug: &Slug, purge: bool) -> StepResult<()> {
        let layout = self.layout(slug);
        let of = layout.clone();
        let mut numbers: BTreeSet<i64> = blocking(move || {
            let mut numbers = of.numbers()?;
            numbers.extend(running_of(&of));
            Ok(numbers)
        })
        .await?
        .into_iter()
        .collect();
        numbers.extend(self.status(slug).iter().map(|status| status.number));
        for number in numbers {
            self.stop(slug, number, GRACE).await?;
        }
        let of = slug.clone();
        blocking(move || remove_folder(&layout, &of, purge)).await
    }
}

/// What [`Layout`] and its users write into a project's folder, beside `shared` and the lock.
/// Whatever else is there others have made.
const OURS: [&str; 11] = [
    ".current.tmp",
    "current",
    "log",
    "migrated",
    "migrated.new",
    "releases",
    "run",
    "tmp",
    "trash",
    "turn",
    "turn.new",
];

/// All of it under the lock, also where that takes long: whoever is late finds it taken, or
/// nothing. What is shared stays unless it is to be purged.
fn remove_folder(layout: &Layout, slug: &Slug, purge: bool) -> StepResult<()> {
    if !layout.base.exists() {
        return Ok(());
    }
    let lock = layout.lock()?;
    // First, so that nothing that is half gone is present.
    remove_all(&layout.current())?;
    for name in OURS {
        remove_all(&layout.base.join(name))?;
    }
    let shared = layout.shared();
    if purge || is_empty(&shared) {
        remove_all(&shared)?;
    }
    // While it is held: nobody waits for it who could then think to have it.
    remove_all(&layout.lock_file())?;
    let fault = |error| Fault::io("remove", layout.base.display(), error);
    match fs::remove_dir(&layout.base) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            let mut names = Vec::new();
            for entry in fs::read_dir(&layout.base).map_err(fault)? {
                let name = entry.map_err(fault)?.file_name();
                names.extend((name != "shared").then(|| name.to_string_lossy().into_owned()));
            }
            left::tell(slug, "this host", layout.base.display(), names);
        }
        removed => removed.map_err(fault)?,
    }
    drop(lock);
    Ok(())
}

fn is_empty(folder: &std::path::Path) -> bool {
    let first = || -> io::Result<bool> { Ok(fs::read_dir(folder)?.next().is_none()) };
    first().unwrap_or(false)
}
