//! What a deployment would do, in sentences.

use deployr_core::command::{Command, PlannedStep};
use deployr_core::model::{Recipe, Runtime};
use deployr_core::value::BuildCommand;

use super::layout::Layout;
use crate::health;

pub(super) fn plan(layout: &Layout, recipe: &Recipe) -> Vec<PlannedStep> {
    let base = layout.base.display();
    let mut steps = vec![PlannedStep::new(format!(
        "place the release as {base}/releases/<number>"
    ))];
    for path in &recipe.shared {
        steps.push(PlannedStep::new(format!(
            "link {path} in it to {base}/shared/{path}"
        )));
    }
    let run = |line: &BuildCommand| PlannedStep::run("run in it", Command::shell(line.as_str()));
    let on_target = &recipe.on_target;
    steps.extend(on_target.before_start().map(|(_, line)| run(line)));
    if let Runtime::Process { start } = &recipe.runtime {
        let what = "start it on a free port of 127.0.0.1, told by PORT";
        steps.push(PlannedStep::run(what, Command::shell(start.as_str())));
    }
    steps.push(health::planned(recipe));
    steps.push(PlannedStep::new(format!("let {base}/current lead to it")));
    steps.extend(on_target.after_switch.as_ref().map(run));
    if matches!(recipe.runtime, Runtime::Process { .. }) {
        steps.push(PlannedStep::new("stop the process of the release before"));
    }
    steps
}
