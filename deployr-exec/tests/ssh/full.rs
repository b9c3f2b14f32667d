//! A host whose disk fills, in the middle of an upload and before each step after it.

use std::fs;
use std::path::Path;

use deployr_core::error::StepResult;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::value::BuildCommand;
use deployr_exec::ssh::SshExecutor;
use deployr_testkit::ssh::Sshd;

use crate::disk::{fill, on_a_disk};
use crate::support::*;

/// That it is full, and what to do.
#[track_caller]
fn assert_says<T: std::fmt::Debug>(answer: StepResult<T>) -> String {
    let fault = expect_fault(answer);
    let told = fault.to_string();
    assert!(
        !fault.retryable && told.contains("No space left") && told.contains("free some space"),
        "{told}"
    );
    told
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn lab_on(disk: &Path, sshd: Sshd) -> Lab {
    let mut lab = Lab::on(sshd);
    let mut target = target(&lab.sshd);
    target.root = disk.join("sites").to_str().unwrap().to_owned();
    lab.executor = SshExecutor::new(target).unwrap().patience(PATIENCE);
    lab
}

async fn fills(disk: &Path, rsync: bool) {
    let lab = match rsync {
        true => lab_on(disk, Sshd::start()),
        false => lab_on(disk, Sshd::start_without(&["rsync"])),
    };
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

#[test]
fn a_command_that_fills_the_disk_is_told_as_that_and_one_that_ends_well_has_ended_well() {
    let name = "full::\
        a_command_that_fills_the_disk_is_told_as_that_and_one_that_ends_well_has_ended_well";
    on_a_disk(name, "size=4m", async |disk| {
        let lab = lab_on(disk, Sshd::start());
        let small = lab.files(&[("index.html", "home")]);
        let filler = disk.join("filler");
        let filling = format!("cat /dev/zero >{} 2>/dev/null", filler.display());
        let with = |number: i64, line: &str| {
            let mut spec = site(number);
            spec.recipe.on_target.migrate = Some(BuildCommand::parse(line).unwrap());
            spec
        };

        let fails = with(1, &format!("{filling}; exit 9"));
        let told = assert_says(lab.executor.prepare(&fails, &small, &context()).await);
        assert!(told.contains("it exited with 9"), "{told}");
        // Nothing is begun whose end could not be kept.
        fs::remove_file(&filler).unwrap();
        let begins = with(2, "echo begun >begun");
        let ctx = context();
        let before = site(2);
        lab.executor.prepare(&before, &small, &ctx).await.unwrap();
        fill(disk);
        assert_says(lab.executor.prepare(&begins, &small, &ctx).await);
        assert!(
            !disk
                .join(format!("sites/shop/releases/2-{COMMIT}/begun"))
                .exists()
        );

        fs::remove_file(&filler).unwrap();
        let ends = with(3, &format!("{filling}; true"));
        lab.executor
            .prepare(&ends, &small, &context())
            .await
            .unwrap();
    });
}
