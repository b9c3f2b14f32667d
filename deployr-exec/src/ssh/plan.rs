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
    php: bool,
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
    let on_target = &recipe.on_target;
    for (what, line) in on_target.before_start() {
        let what = match what {
            "migrate" => "run on one host, once",
            _ => "run on the host",
        };
        steps.push(PlannedStep::run(what, Command::shell(line.as_str())));
    }
    let web_root = on_target.web_root.as_ref().filter(|_| php);
    if let (Runtime::Process { start }, None) = (&recipe.runtime, web_root) {
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
    if let Some(root) = web_root {
        steps.push(PlannedStep::new(format!(
            "ask the web server for a script in {root} until it answers with the new release"
        )));
    }
    for (name, line) in &on_target.workers {
        let what = format!("keep running as {name}, in the place of the release before's");
        steps.push(PlannedStep::run(what, Command::shell(line.as_str())));
    }
    if let Some(line) = &on_target.after_switch {
        steps.push(run(&Command::shell(line.as_str())));
    }
    steps.extend(after.iter().map(run));
    if matches!(recipe.runtime, Runtime::Process { .. }) && web_root.is_none() {
        steps.push(PlannedStep::new("stop the process of the release before"));
    }
    steps
}
