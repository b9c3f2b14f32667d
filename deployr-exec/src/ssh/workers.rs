//! What runs on and on beside a release, on the hosts for it.
//!
//! Each worker gets its supervisor before the switch, which waits for it: so the switch of
//! a host, forth or back, is that of its workers too, whatever becomes of the connection.

use deployr_core::context::StepContext;
use deployr_core::error::{StepResult, Verdict, VerdictCode};
use deployr_core::executor::ReleaseSpec;

use super::host::Host;
use super::target::Role;
use super::{env, script};

impl Host {
    /// Has the workers of a release wait for its switch, on a host that runs such.
    pub(super) async fn start_workers(
        &self,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let (slug, target) = (spec.slug.as_str(), self.session.target());
        if !target.is_for(Role::Worker) {
            return Ok(());
        }
        let (number, release) = (spec.number.to_string(), spec.release.to_string());
        for (name, line) in &spec.recipe.on_target.workers {
            let words = [
                number.as_str(),
                &release,
                name.as_str(),
                line.as_str(),
                script::SUPERVISE.text,
                &target.root,
                slug,
            ];
            let env = env::text(&spec.env);
            self.ask(slug, script::WORK, &words, Some(env.as_bytes()))
                .await?;
            ctx.log
                .say(format!(
                    "worker {name} of release {number} waits for the switch; what it says will be \
                     in {target}:{}/{slug}/run/{number}.{name}/log",
                    target.root
                ))
                .await;
        }
        Ok(())
    }
}

pub(super) fn nowhere() -> Verdict {
    let message = "no host of the target has the role `worker`, so on_target.workers would run \
                   nowhere; give it to one at least";
    Verdict::new(VerdictCode::Unsupported, message)
}
