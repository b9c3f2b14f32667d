//! What a deployment would do, in sentences.

use deployr_core::command::{Command, PlannedStep};
use deployr_core::model::{Recipe, Runtime};
use deployr_core::value::Slug;

use super::target::SshTarget;
use crate::health;

pub(super) fn plan(
    targets: &[&SshTarget],
    before: &[Command],
    after: &[Command],
    slug: &Slug,
    recipe: &Recipe,
) -> Vec<PlannedStep> {
    let mut steps = Vec::new();
    for target in targets {
        let base = format!("{target}:{}/{slug}", target.root);
        steps.push(PlannedStep::new(format!(
            "send what has changed to {base}/releases/<number>-<commit>"
        )));
        for path in &recipe.shared {
            steps.push(PlannedStep::new(format!(
                "link {path} in it to {base}/shared/{path}"
            )));
        }
    }
    if let Runtime::Process { start } = &recipe.runtime {
        let what = "start it on a free port of the host, told by PORT";
        steps.push(PlannedStep::run(what, Command::shell(start.as_str())));
    }
    steps.push(health::planned(recipe));
    let run = |command: &Command| PlannedStep::run("run on the host", command.clone());
    steps.extend(before.iter().map(run));
    let all = if targets.len() > 1 {
        " on all hosts, or on none"
    } else {
        ""
    };
    steps.push(PlannedStep::new(format!("let `current` lead to it{all}")));
    steps.extend(after.iter().map(run));
    if matches!(recipe.runtime, Runtime::Process { .. }) {
        steps.push(PlannedStep::new("stop the process of the release before"));
    }
    steps
}
