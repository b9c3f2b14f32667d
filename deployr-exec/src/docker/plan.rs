//! What a deployment would do, in sentences.

use deployr_core::command::{Command, PlannedStep};
use deployr_core::model::{Recipe, Runtime};
use deployr_core::value::Slug;

use super::container::{is_file, shared_folders};

/// What a release becomes on a target.
pub(super) struct Becomes<'a> {
    /// How it is brought up.
    pub(super) start: &'a str,
    /// What is done with the one before.
    pub(super) end: &'a str,
}

pub(super) fn plan(
    slug: &Slug,
    base: Option<&str>,
    recipe: &Recipe,
    becomes: &Becomes<'_>,
) -> Vec<PlannedStep> {
    let mut steps = vec![match (&recipe.runtime, base) {
        (Runtime::Image, _) => PlannedStep::new(format!("name the image as a release of {slug}")),
        (_, Some(base)) => {
            PlannedStep::new(format!("make an image of {base} and the build's files"))
        }
        (_, None) => PlannedStep::new("make an image of the build's files (no base image is set)"),
    }];
    for path in shared_folders(&recipe.shared) {
        steps.push(PlannedStep::new(format!(
            "share {path} with all releases, as a volume"
        )));
    }
    for path in recipe.shared.iter().filter(|path| is_file(path)) {
        steps.push(PlannedStep::new(format!(
            "leave {path} as the release has it: containers share folders only"
        )));
    }
    if let Some(line) = &recipe.on_target.migrate {
        let what = "run once, in a container of the new image";
        steps.push(PlannedStep::run(what, Command::shell(line.as_str())));
    }
    if let Some(line) = &recipe.on_target.prepare {
        let what = "run in each container, before it starts";
        steps.push(PlannedStep::run(what, Command::shell(line.as_str())));
    }
    let what = becomes.start;
    steps.push(match &recipe.runtime {
        Runtime::Process { start } => PlannedStep::run(what, Command::shell(start.as_str())),
        _ => PlannedStep::new(format!("{what}, with the image's own command")),
    });
    let health = &recipe.health;
    let limit = format!("until it is healthy, at most {} ms", health.deadline_ms);
    steps.push(match &health.command {
        Some(line) => PlannedStep::run(format!("run in it {limit}"), Command::shell(line.as_str())),
        None => PlannedStep::new(format!("ask for {} {limit}", health.path)),
    });
    steps.push(PlannedStep::new("make it the present release"));
    if let Some(line) = &recipe.on_target.after_switch {
        let what = "run in a container of the new image";
        steps.push(PlannedStep::run(what, Command::shell(line.as_str())));
    }
    steps.push(PlannedStep::new(becomes.end));
    steps
}
