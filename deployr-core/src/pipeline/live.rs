//! How a release takes over from the one before, and how that is taken back.
//!
//! The target is switched first and the ingress second; on the way back, the other way
//! round. So wherever an attempt is cut off: as long as the target has not been switched,
//! nothing needs to be taken back, and where it has been, the next attempt can go on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::run::Run;
use crate::context::StepContext;
use crate::error::{Fault, StepError, StepResult};
use crate::executor::{Endpoint, ReleaseSpec};
use crate::ingress::Route;
use crate::model::{Cause, Release, ReleaseId, ReleaseState, Stage};
use crate::retry;

/// How long a release that no longer serves is given to end by itself.
const RETIRE_GRACE: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Start, verify, switch, drain, retire.
    pub(super) async fn bring_live(&self, release: &Release) -> StepResult<ReleaseId> {
        let spec = self.spec(release)?;
        let before = self.live_release().await?;
        let endpoint = self.executor.start(&spec, &self.ctx).await?;
        self.enter(Stage::Verify, None).await?;
        self.executor.verify(&spec, &endpoint, &self.ctx).await?;
        self.enter(Stage::Activate, None).await?;
        self.switch(&spec, &self.ctx).await?;
        self.route(release, endpoint).await?;
        self.say(format!("release {} is live", release.number))
            .await;
        self.tidy_up(release, before.as_ref()).await;
        Ok(release.id)
    }

    async fn switch(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        self.switched.store(true, Ordering::Relaxed);
        let Err(error) = self.executor.switch(spec, self.turn(), ctx).await else {
            return Ok(());
        };
        // What a target finds wrong with the release it has switched to is an answer.
        if !matches!(&error, StepError::Fault(fault) if fault.retryable) {
            return Err(error);
        }
        // Perhaps only the answer was lost; or what belongs to the switch was not done yet.
        match self.executor.current(&spec.slug).await {
            Ok(Some(current)) if current == spec.number => {
                self.executor.switch(spec, self.turn(), ctx).await
            }
            _ => Err(error),
        }
    }

    async fn route(&self, release: &Release, endpoint: Endpoint) -> StepResult<()> {
        let Some(ingress) = &self.engine.ingress else {
            return Ok(());
        };
        let Some(endpoint) = endpoint.for_ingress() else {
            return ingress.remove(&self.project.slug).await; // from where it was before
        };
        let (tenant, project) = (&self.project.tenant, self.project.id);
        let domains = self
            .stored(|| self.engine.verified_domains(tenant, project))
            .await?;
        let route = Route {
            slug: self.project.slug.clone(),
            release: release.number,
            endpoint,
            domains,
            turn: self.turn(),
        };
        ingress.route(route).await
    }

    /// What follows the switch cannot undo it: errors are told, and nothing else.
    async fn tidy_up(&self, live: &Release, before: Option<&Release>) {
        if let Some(ingress) = &self.engine.ingress {
            let limit = live.recipe.health.drain();
            let warning = match ingress.drain(&self.project.slug, limit).await {
                Ok(0) => None,
                Ok(left) => Some(format!(
                    "{left} requests to the old release took too long, and were cut off"
                )),
                Err(error) => Some(format!("the old release was not drained: {error}")),
            };
            if let Some(warning) = warning {
                self.say(format!("warning: {warning}")).await;
            }
        }
        if let Err(error) = self.remove_old(live, before).await {
            self.say(format!("warning: old releases were not removed: {error}"))
                .await;
        }
    }

    /// Keeps the live release, the one before it, and the newest others up to the
    /// project's number.
    async fn remove_old(&self, live: &Release, before: Option<&Release>) -> StepResult<()> {
        let (tenant, project) = (&self.project.tenant, self.project.id);
        let store = &self.engine.store;
        let there = self
            .stored(|| store.releases_on_target(tenant, project))
            .await?;
        let before = before.filter(|before| before.id != live.id);
        let mut keep = vec![live.number];
        keep.extend(before.map(|before| before.number));
        let most = self.project.settings.keep_releases.get() as usize;
        let kept = there.iter().filter(|one| one.state == ReleaseState::Kept);
        let (mut stay, mut gone) = (keep.len(), Vec::new());
        for release in kept.filter(|one| !keep.contains(&one.number)) {
            stay += 1;
            if stay > most {
                gone.push(release.number);
            }
        }
        keep.extend(there.iter().map(|one| one.number));
        keep.retain(|number| !gone.contains(number));

        if before.is_some() || !gone.is_empty() {
            // Before anything is stopped or removed, also where none goes: refused where
            // the lease was lost, and with it the right to touch what is another's.
            let (claim, id) = (&self.job.claim, self.deployment.id);
            self.stored(|| store.mark_gone(claim, id, &gone)).await?;
        }
        if let Some(before) = before {
            self.retire(before).await;
        }
        let slug = &self.project.slug;
        retry::thrice(&self.job.lost, || self.executor.prune(slug, &keep)).await?;
        Ok(())
    }

    /// After a failure: the release before serves as if nothing had been, and the new one
    /// is taken away.
    ///
    /// Fails where that could not be done; the next attempt goes on with it.
    pub(super) async fn take_back(&self) -> StepResult<()> {
        let Some(release) = self.release.get() else {
            return Ok(());
        };
        // Without the lease the target may be somebody else's by now.
        self.confirm_the_lease().await?;
        if self.switched.load(Ordering::Relaxed) {
            let current =
                retry::thrice(&self.job.lost, || self.executor.current(&self.project.slug)).await;
            let current = current.map_err(untold)?;
            // Where it was cut off, there may be none, or another one on each of several hosts.
            let torn = current.is_none() && self.live_release().await?.is_some();
            if torn || current == Some(release.number) {
                return self.go_back(release).await;
            }
        }
        self.remove(release).await;
        Ok(())
    }

    async fn go_back(&self, release: &Release) -> StepResult<()> {
        let before = match self.live_release().await? {
            Some(before) if before.id == release.id => return Ok(()),
            Some(before) => before,
            None => {
                let number = release.number;
                self.say(format!("warning: release {number} stays on the target, although it does not count as live: there is none to go back to"))
                    .await;
                return Ok(());
            }
        };
        self.say(format!("going back to release {}", before.number))
            .await;
        let (spec, ctx) = (self.spec(&before)?, self.undisturbed());
        let back = async {
            let endpoint = self.executor.start(&spec, &ctx).await?;
            self.route(&before, endpoint).await?;
            self.switch(&spec, &ctx).await
        };
        back.await.map_err(untold)?;
        self.remove(release).await;
        Ok(())
    }

    /// An earlier attempt may only have stood still, in the midst of its switch. From now
    /// on the target has seen a later turn, and refuses it.
    pub(super) async fn close_the_door(&self) -> StepResult<()> {
        match self.live_release().await? {
            Some(live) => {
                let (spec, ctx) = (self.spec(&live)?, self.undisturbed());
                self.executor.switch(&spec, self.turn(), &ctx).await
            }
            None => Ok(()),
        }
    }

    /// Takes away what serves nobody: removes what this deployment has placed, stops what
    /// was there before it.
    pub(super) async fn remove(&self, release: &Release) {
        match self.deployment.cause {
            Cause::Deploy { .. } => {
                let (slug, number) = (&self.project.slug, release.number);
                let gone =
                    retry::thrice(&self.job.lost, || self.executor.discard(slug, number)).await;
                if let Err(error) = gone {
                    self.say(format!(
                        "warning: release {number} was not removed: {error}"
                    ))
                    .await;
                }
            }
            Cause::Rollback { .. } if release.state == ReleaseState::Live => {}
            Cause::Rollback { .. } => self.retire(release).await,
        }
    }

    async fn retire(&self, release: &Release) {
        let (slug, number) = (&self.project.slug, release.number);
        let retired = retry::thrice(&self.job.lost, || {
            self.executor.retire(slug, number, RETIRE_GRACE)
        })
        .await;
        if let Err(error) = retired {
            self.say(format!(
                "warning: release {number} was not stopped: {error}"
            ))
            .await;
        }
    }

    async fn live_release(&self) -> StepResult<Option<Release>> {
        let (tenant, project) = (&self.project.tenant, self.project.id);
        let there = self
            .stored(|| self.engine.store.releases_on_target(tenant, project))
            .await?;
        Ok(there
            .into_iter()
            .find(|release| release.state == ReleaseState::Live))
    }

    /// By a write of nothing, which is refused where the lease was lost.
    async fn confirm_the_lease(&self) -> StepResult<()> {
        let (claim, id) = (&self.job.claim, self.deployment.id);
        self.stored(|| self.engine.store.append_log(claim, id, 1, Vec::new()))
            .await
            .map(drop)
    }
}

/// What became of the target is not known, or not what it should be: whatever the
/// reason, the next attempt must look at it again.
pub(super) fn untold(error: StepError) -> StepError {
    match error {
        StepError::Stopped => StepError::Stopped,
        StepError::Fault(fault) => StepError::Fault(Fault {
            retryable: true,
            ..fault
        }),
        StepError::Verdict(verdict) => {
            Fault::retryable("putting in order", "the target", verdict).into()
        }
    }
}
