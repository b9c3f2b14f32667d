//! What a deployment would do, in sentences.

use deployr_core::command::{Command, PlannedStep};
use deployr_core::model::{Recipe, Runtime};

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
    if let Runtime::Process { start } = &recipe.runtime {
        let what = "start it on a free port of 127.0.0.1, told by PORT";
        steps.push(PlannedStep::run(what, Command::shell(start.as_str())));
    }
    steps.push(health::planned(recipe));
    steps.push(PlannedStep::new(format!("let {base}/current lead to it")));
    if matches!(recipe.runtime, Runtime::Process { .. }) {
        steps.push(PlannedStep::new("stop the process of the release before"));
    }
    steps
}
