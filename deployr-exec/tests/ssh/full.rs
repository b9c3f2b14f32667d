//! A host whose disk fills, in the middle of an upload and before each step after it.

use std::fs;
use std::path::Path;

use deployr_core::error::StepResult;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_exec::ssh::SshExecutor;
use deployr_testkit::ssh::Sshd;

use crate::disk::{fill, on_a_disk};
use crate::support::*;

/// That it is full, and what to do.
#[track_caller]
fn assert_says<T: std::fmt::Debug>(answer: StepResult<T>) {
    let fault = expect_fault(answer);
    let told = fault.to_string();
    assert!(
        !fault.retryable && told.contains("No space left") && told.contains("free some space"),
        "{told}"
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

async fn fills(disk: &Path, rsync: bool) {
    let sshd = match rsync {
        true => Sshd::start(),
        false => Sshd::start_without(&["rsync"]),
    };
    let mut lab = Lab::on(sshd);
    let mut target = target(&lab.sshd);
    target.root = disk.join("sites").to_str().unwrap().to_owned();
    lab.executor = SshExecutor::new(target).unwrap().patience(PATIENCE);
    let small = lab.files(&[("index.html", "home")]);
    lab.deploy(&site(1), &small).await.unwrap();

    // The first files fit, the last one does not.
    let big = "0123456789".repeat(300_000);
    let large = lab.files(&[("a.bin", &big), ("b.bin", &big), ("index.html", "next")]);
    let (next, ctx) = (site(2), context());
    assert_says(lab.executor.prepare(&next, &large, &ctx).await);
    let releases = disk.join("sites/shop/releases");
    let present = disk.join("sites/shop/current/index.html");
    let untouched = || {
        assert_eq!(fs::read_to_string(&present).unwrap(), "home");
        let whole = names(&releases);
        let whole = whole.iter().filter(|name| !name.starts_with('.'));
        assert_eq!(whole.collect::<Vec<_>>(), [&format!("1-{COMMIT}")]);
    };
    untouched();
    // What the engine does with a release that was not placed.
    lab.executor.discard(&next.slug, 2).await.unwrap();
    assert_eq!(names(&releases), [format!("1-{COMMIT}")]);

    let filler = fill(disk);
    assert_says(lab.executor.prepare(&next, &small, &ctx).await);
    untouched();
    fs::remove_file(&filler).unwrap();
    lab.executor.prepare(&next, &small, &ctx).await.unwrap();
    fill(disk);
    let turn = Turn::new(2, 1);
    assert_says(lab.executor.switch(&next, turn, &ctx).await);
    assert_eq!(lab.executor.current(&next.slug).await.unwrap(), Some(1));

    fs::remove_file(&filler).unwrap();
    lab.executor.switch(&next, turn, &ctx).await.unwrap();
    assert_eq!(lab.executor.current(&next.slug).await.unwrap(), Some(2));
}

#[test]
fn a_disk_that_fills_while_rsync_writes_keeps_the_old_release() {
    let name = "full::a_disk_that_fills_while_rsync_writes_keeps_the_old_release";
    on_a_disk(name, "size=4m", async |disk| fills(disk, true).await);
}

#[test]
fn a_disk_that_fills_while_tar_writes_keeps_the_old_release() {
    let name = "full::a_disk_that_fills_while_tar_writes_keeps_the_old_release";
    on_a_disk(name, "size=4m", async |disk| fills(disk, false).await);
}
