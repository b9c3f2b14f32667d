//! Targets that run no workers.

use deployr_core::error::{Verdict, VerdictCode};
use deployr_core::model::Recipe;

/// Refuses a recipe with workers, on a target of that kind.
pub(crate) fn refuse(kind: &str, recipe: &Recipe) -> Result<(), Verdict> {
    let Some((name, line)) = recipe.on_target.workers.first_key_value() else {
        return Ok(());
    };
    let message = format!(
        "a {kind} target runs no workers, so `{line}` cannot be kept running there as {name}; \
         deploy to hosts over SSH, or to a compose file with a service for it, or take it out of \
         [on_target.workers] in deployr.toml"
    );
    Err(Verdict::new(VerdictCode::Unsupported, message))
}
