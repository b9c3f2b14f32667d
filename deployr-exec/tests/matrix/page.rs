//! The page itself.

use std::fmt::Write as _;

use crate::samples::SAMPLES;
use crate::targets::Target;
use crate::{cell, proof};

const HEAD: &str = "# What goes where

This page is written by `deployr-exec/tests/matrix`, from what builders detect and from what
executors say of themselves; a test holds it to that. `deployr plan` says the same of a project
of yours, before anything is built.

A target brings its builder along: `local`, `ssh` and `cpanel` build in a confined process on
deployr's own machine, the others in containers.

";

const BELOW_KINDS: &str = "
*files*: given out by the ingress or the host's web server. *process*: a command on a port of
its own; on `docker`, `compose` and `swarm` in a container of the target's base image; on `ssh`,
Laravel runs in the PHP of the host's web server where the target says so; on `cpanel`, Laravel
in the host's PHP, and Next.js and other Node apps in Passenger. *image*: what a Dockerfile makes.
*services*: those of a compose file. `-`: refused before anything is built, with what to do
instead.

## What the targets can do

";

const BELOW_ABILITIES: &str = "
*Free of downtime* means all three before it. An account of a shared host replaces the link to
the present release in one step where the host does so, which shows only when it has; compose
files with services that are kept, or that own a port of the host, say before they start what
stands still meanwhile.

## Which test shows it

";

pub(crate) fn write(targets: &[Target]) -> String {
    let mut page = HEAD.to_owned();
    kinds(&mut page, targets);
    page.push_str(BELOW_KINDS);
    abilities(&mut page, targets);
    page.push_str(BELOW_ABILITIES);
    proofs(&mut page, targets);
    page
}

fn row<S: AsRef<str>>(page: &mut String, cells: impl IntoIterator<Item = S>) {
    for cell in cells {
        write!(page, "| {} ", cell.as_ref()).unwrap();
    }
    page.push_str("|\n");
}

fn head(page: &mut String, first: &str, rest: &[&str]) {
    row(page, [first].iter().chain(rest));
    row(page, std::iter::repeat_n("---", rest.len() + 1));
}

fn kinds(page: &mut String, targets: &[Target]) {
    let names: Vec<_> = targets.iter().map(|target| target.name).collect();
    head(page, "framework", &names);
    for sample in SAMPLES {
        let cells = targets.iter().map(|target| cell(sample, target));
        let cells = cells.map(|kind| kind.unwrap_or("-"));
        row(page, std::iter::once(sample.title).chain(cells));
    }
}

fn abilities(page: &mut String, targets: &[Target]) {
    let heads = [
        "runs processes",
        "old and new side by side",
        "switches in one step",
        "checks before it switches",
        "free of downtime",
    ];
    head(page, "target", &heads);
    for target in targets {
        let can = target.executor.capabilities();
        let cells = [
            can.processes,
            can.side_by_side,
            can.atomic_switch,
            can.verifies,
            can.zero_downtime(),
        ];
        let cells = cells.map(|can| if can { "yes" } else { "no" });
        row(page, std::iter::once(target.name).chain(cells));
    }
}

fn proofs(page: &mut String, targets: &[Target]) {
    head(page, "target", &["as", "test"]);
    for target in targets {
        let mut kinds: Vec<_> = SAMPLES
            .iter()
            .filter_map(|sample| cell(sample, target))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let (file, name) = proof::of(target.name, kind).unwrap_or_default();
            row(page, [target.name, kind, &format!("`{name}` in {file}")]);
        }
    }
}
