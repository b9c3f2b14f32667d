//! docs/targets.md: what goes where, as the parts themselves say. Each cell that is said to
//! work names a test that is there. `DEPLOYR_WRITE_DOCS=1` writes the page anew.
#![cfg(all(
    feature = "compose",
    feature = "cpanel",
    feature = "local-executor",
    feature = "ssh",
    feature = "swarm"
))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod page;
mod proof;
mod samples;
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use deployr_core::model::Runtime;
use deployr_core::value::{BuildCommand, WorkerName};
use deployr_exec::framework;

use samples::SAMPLES;
use targets::{Target, targets};

/// What a release is on a target.
fn kind(runtime: &Runtime) -> &'static str {
    match runtime {
        Runtime::Static { .. } => "files",
        Runtime::Process { .. } => "process",
        Runtime::Image => "image",
        Runtime::Compose { .. } => "services",
        other => panic!("{other:?} has no name in the table"),
    }
}

/// What becomes of a sample on a target; nothing where either of them refuses.
fn cell(sample: &samples::Sample, target: &Target) -> Option<&'static str> {
    let checkout = sample.checkout();
    let recipe = framework::detect(checkout.path(), &samples::settings(), target.makes).ok()?;
    // One that is taken for another is not supported, though something would be deployed.
    if recipe.framework.as_str() != sample.framework {
        return None;
    }
    target.executor.accepts(&sample.slug(), &recipe).ok()?;
    Some(kind(&recipe.runtime))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_page_of_targets_says_what_they_say() {
    let page = page::write(&targets());
    let path = repository().join("docs/targets.md");
    if std::env::var_os("DEPLOYR_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/targets.md is not what the targets say now; write it with DEPLOYR_WRITE_DOCS=1 \
         cargo test -p deployr-exec --all-features --test matrix\n{page}"
    );
}

#[test]
fn each_cell_has_a_test() {
    for target in targets() {
        for sample in SAMPLES {
            let Some(kind) = cell(sample, &target) else {
                continue;
            };
            let found = proof::of(target.name, kind);
            let (file, name) = found.unwrap_or_else(|| panic!("{}: no {kind}", target.name));
            let text = fs::read_to_string(repository().join(&file)).unwrap();
            assert!(text.contains(&format!("fn {name}(")), "{file}: no {name}");
        }
    }
}

/// Only servers keep workers running, and Compose runs services alone: who asks for more hears
/// so before anything is built.
#[test]
fn what_a_target_does_not_run_is_refused_and_not_left_out() {
    let line = BuildCommand::parse("node queue.js").unwrap();
    let mut refused = BTreeSet::new();
    for target in targets() {
        for sample in SAMPLES {
            if matches!(cell(sample, &target), None | Some("files")) {
                continue;
            }
            let checkout = sample.checkout();
            let recipe =
                framework::detect(checkout.path(), &samples::settings(), target.makes).unwrap();
            let mut asked = vec![("workers", recipe.clone()), ("migrate", recipe)];
            let queue = WorkerName::parse("queue").unwrap();
            asked[0].1.on_target.workers.insert(queue, line.clone());
            asked[1].1.on_target.migrate = Some(line.clone());
            for (what, recipe) in asked {
                if let Err(verdict) = target.executor.accepts(&sample.slug(), &recipe) {
                    for word in [what, "on_target", "deployr.toml"] {
                        assert!(verdict.message.contains(word), "{verdict}");
                    }
                    refused.insert((target.name, what));
                }
            }
        }
    }
    let wanted = [
        ("compose", "migrate"),
        ("compose", "workers"),
        ("cpanel", "migrate"),
        ("cpanel", "workers"),
        ("docker", "workers"),
        ("local", "workers"),
        ("swarm", "migrate"),
        ("swarm", "workers"),
    ];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), wanted);
}
