//! The commands that a release brings along: those of each host, and the one that runs on
//! one of them, once.

use std::sync::Arc;

use deployr_core::command::Command;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::BuildCommand;

use super::SshExecutor;
use super::host::Host;
use super::job::Job;
use super::target::Role;

impl SshExecutor {
    /// What must be done before anything of the release is started, once it is placed on
    /// all hosts.
    pub(super) async fn make_ready(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let on_target = &spec.recipe.on_target;
        if let Some(line) = &on_target.prepare {
            // For each release anew: its folder is another.
            let name = format!("{}-{}-prepare", ctx.deployment, spec.number);
            self.run_everywhere("prepare", name, line, spec, ctx)
                .await?;
        }
        if let (Some(line), Some(host)) = (&on_target.migrate, self.database_host()) {
            let target = host.session.target();
            ctx.log.say(format!("migrating on {target}")).await;
            // Another attempt goes on with what this one has begun, unless its branch has
            // moved meanwhile: other commits bring other migrations.
            let name = format!("{}-{}-migrate", ctx.deployment, spec.commit);
            run(host, "migrate", name, line, spec, ctx).await?;
        }
        Ok(())
    }

    /// What the release wants to be done once it is present; when it fails that is told.
    pub(super) async fn run_after_switch(&self, spec: &ReleaseSpec, ctx: &StepContext, turn: i64) {
        let Some(line) = &spec.recipe.on_target.after_switch else {
            return;
        };
        let name = format!("{turn}-{}-switched", spec.number);
        let done = self.run_everywhere("after_switch", name, line, spec, ctx);
        if let Err(error @ (StepError::Fault(_) | StepError::Verdict(_))) = done.await {
            ctx.log.say(format!("warning: {error}")).await;
        }
    }

    fn database_host(&self) -> Option<&Arc<Host>> {
        let mut hosts = self.hosts.iter();
        let named = hosts.find(|host| host.session.target().is_for(Role::Db));
        named.or_else(|| self.hosts.first())
    }

    async fn run_everywhere(
        &self,
        what: &'static str,
        name: String,
        line: &BuildCommand,
        spec: &ReleaseSpec,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let given = Arc::new((name, line.clone(), spec.clone(), ctx.clone()));
        self.on_all(move |host| {
            let given = Arc::clone(&given);
            async move {
                let (name, line, spec, ctx) = &*given;
                run(&host, what, name.clone(), line, spec, ctx).await
            }
        })
        .await
        .map(drop)
    }
}

async fn run(
    host: &Host,
    what: &'static str,
    name: String,
    line: &BuildCommand,
    spec: &ReleaseSpec,
    ctx: &StepContext,
) -> StepResult<()> {
    let command = Command::shell(line.as_str());
    let job = Job {
        host,
        slug: spec.slug.as_str(),
        number: spec.number,
        name,
        command: &command,
        env: Some(&spec.env),
        is_resumed: what == "migrate",
    };
    let target = host.session.target();
    match job.run(ctx).await {
        Ok(0) => Ok(()),
        Ok(code) => {
            let message = format!(
                "on_target.{what} ended with {code} on {target}; its output is in the \
                 deployment's log. Nothing was switched"
            );
            Err(StepError::verdict(VerdictCode::CommandFailed, message))
        }
        // Without its words: a line may be long.
        Err(StepError::Fault(fault)) if fault.operation == "run" => Err(Fault {
            subject: format!("on_target.{what} on {target}"),
            ..fault
        }
        .into()),
        Err(error) => Err(error),
    }
}
