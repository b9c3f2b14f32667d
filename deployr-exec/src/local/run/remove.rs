//! How a project goes: its processes first, then its folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::Slug;

use super::layout::{Layout, remove_all};
use super::{LocalExecutor, blocking, running_of};

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
        blocking(move || remove_folder(&layout, purge)).await
    }
}

/// All of it under the lock, also where that takes long: whoever is late finds it taken, or
/// nothing. What is shared stays unless it is to be purged.
fn remove_folder(layout: &Layout, purge: bool) -> StepResult<()> {
    if !layout.base.exists() {
        return Ok(());
    }
    let lock = layout.lock()?;
    // First, so that nothing that is half gone is present.
    remove_all(&layout.current())?;
    let fault = |error| Fault::io("remove", layout.base.display(), error);
    let shared = layout.shared();
    for entry in fs::read_dir(&layout.base).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let stays = path == shared && !purge && !is_empty(&shared);
        if !stays && path != layout.lock_file() {
            remove_all(&path)?;
        }
    }
    // While it is held: nobody waits for it who could then think to have it.
    remove_all(&layout.lock_file())?;
    match fs::remove_dir(&layout.base) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
        removed => removed.map_err(fault)?,
    }
    drop(lock);
    Ok(())
}

fn is_empty(folder: &std::path::Path) -> bool {
    let first = || -> io::Result<bool> { Ok(fs::read_dir(folder)?.next().is_none()) };
    first().unwrap_or(false)
}
