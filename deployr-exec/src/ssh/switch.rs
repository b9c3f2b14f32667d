//! The switch: all hosts, or none; by which order, and what surrounds it.

use std::sync::Arc;

use deployr_core::command::Command;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Turn;

use super::SshExecutor;
use super::host::Host;
use super::job::Job;
use super::php::{Php, Proof};
use super::target::Role;

/// What a host needs to know to switch.
#[derive(Clone)]
struct Switch {
    spec: ReleaseSpec,
    turn: Turn,
    ctx: StepContext,
    /// Where web servers run its PHP.
    php: Option<Php>,
}

impl Switch {
    fn proof<'a>(&'a self, host: &'a Host) -> Option<Proof<'a>> {
        let root = self.spec.recipe.on_target.web_root.as_ref()?;
        let php = self.php.as_ref()?;
        host.session.target().is_for(Role::Web).then_some(Proof {
            host,
            php,
            root,
            spec: &self.spec,
            turn: self.turn,
        })
    }

    async fn mark(&self, host: &Host) -> StepResult<()> {
        match self.proof(host) {
            Some(proof) => proof.mark().await,
            None => Ok(()),
        }
    }

    /// Switches a host, and sees to it that it answers with the new release.
    async fn make(&self, host: &Host) -> StepResult<()> {
        host.switch(&self.spec, self.turn).await?;
        match self.proof(host) {
            Some(proof) => proof.run(&self.ctx).await,
            None => Ok(()),
        }
    }

    async fn unmark(&self, host: &Host) -> StepResult<()> {
        match self.proof(host) {
            Some(proof) => proof.unmark().await,
            None => Ok(()),
        }
    }
}

impl SshExecutor {
    pub(super) async fn switch_hosts(
        &self,
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let switch = Arc::new(Switch {
            spec: spec.clone(),
            turn,
            ctx: ctx.clone(),
            php: self.php.clone().filter(|_| self.web_root(spec).is_some()),
        });
        if let [host] = &*self.hosts
            && self.before_switch.is_empty()
            && switch.php.is_none()
        {
            switch.make(host).await?;
            self.follow_up(spec, turn, ctx).await;
            return Ok(());
        }
        // The barrier: nothing is changed until every host has said that it can.
        let asked = Arc::clone(&switch);
        let before = self
            .on_all(move |host| {
                let asked = Arc::clone(&asked);
                async move {
                    let before = host.ready(&asked.spec, asked.turn).await?;
                    asked.mark(&host).await?;
                    Ok(before)
                }
            })
            .await?;
        // A way back must not fail for what was to happen on the way forward.
        if before.iter().any(|before| *before < Some(spec.number)) {
            self.run_hooks("before", &self.before_switch, spec, turn, ctx)
                .await?;
        }
        let switched = match self.rolling {
            true => self.one_by_one(&switch).await,
            false => {
                let switch = Arc::clone(&switch);
                let make = move |host: Arc<Host>| {
                    let switch = Arc::clone(&switch);
                    async move { switch.make(&host).await }
                };
                self.on_all(make).await.map(drop)
            }
        };
        if switched.is_err() {
            self.switch_back(&switch, &before).await;
        }
        for host in self.hosts.iter() {
            // It is of no use to anybody; the next release has another.
            let _ = switch.unmark(host).await;
        }
        switched?;
        self.follow_up(spec, turn, ctx).await;
        Ok(())
    }

    async fn one_by_one(&self, switch: &Switch) -> StepResult<()> {
        for host in self.hosts.iter() {
            switch.make(host).await?;
            let target = host.session.target();
            let say = format!("{target} has release {}", switch.spec.number);
            switch.ctx.log.say(say).await;
        }
        Ok(())
    }

    /// After a switch that not all hosts have made: as it was before, wherever it can be.
    async fn switch_back(&self, switch: &Switch, before: &[Option<i64>]) {
        let Switch {
            spec, turn, ctx, ..
        } = switch;
        for (host, before) in self.hosts.iter().zip(before) {
            let back = async {
                host.switch_back(&spec.slug, spec.number, *before, *turn)
                    .await?;
                // Else PHP may look for the new one where soon nothing is.
                match switch.proof(host) {
                    Some(proof) => proof.reload("back", ctx).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = back.await {
                let target = host.session.target();
                let say = format!("warning: {target} could not be switched back: {error}");
                ctx.log.say(say).await;
            }
        }
    }

    /// What comes after the switch. When it fails that is told, and the switch stays.
    async fn follow_up(&self, spec: &ReleaseSpec, turn: Turn, ctx: &StepContext) {
        self.run_after_switch(spec, ctx, turn.deployment).await;
        let hooks = &self.after_switch;
        match self.run_hooks("after", hooks, spec, turn, ctx).await {
            Err(StepError::Stopped) | Ok(()) => {}
            Err(error) => ctx.log.say(format!("warning: {error}")).await,
        }
    }

    async fn run_hooks(
        &self,
        when: &'static str,
        hooks: &[Command],
        spec: &ReleaseSpec,
        turn: Turn,
        ctx: &StepContext,
    ) -> StepResult<()> {
        for (at, command) in hooks.iter().enumerate() {
            // Without the attempt: another one goes on with what this one has begun.
            let name = format!("{}-{when}-{}-{at}", turn.deployment, spec.number);
            let given = Arc::new((spec.clone(), name, command.clone(), ctx.clone()));
            self.on_all(move |host| {
                let given = Arc::clone(&given);
                async move {
                    let (spec, name, command, ctx) = &*given;
                    let job = Job {
                        host: &host,
                        slug: spec.slug.as_str(),
                        number: spec.number,
                        name: name.clone(),
                        command,
                        env: None,
                        is_resumed: false,
                    };
                    match job.run(ctx).await? {
                        0 => Ok(()),
                        code => {
                            let reason = format!("it ended with {code}; its output is in the log");
                            Err(Fault::permanent("run", command, reason).into())
                        }
                    }
                }
            })
            .await?;
        }
        Ok(())
    }
}
