//! After a restart: every live release is brought up and routed to again.

use tokio_util::sync::CancellationToken;

use crate::context::StepContext;
use crate::engine::{Engine, EngineError, Inner, redacted};
use crate::error::{Fault, StepError};
use crate::executor::{Executor, ReleaseSpec};
use crate::ingress::Route;
use crate::log::{LogWriter, Redactor};
use crate::model::{Page, Turn};
use crate::retry;
use crate::store::LiveRelease;

/// What [`Engine::restore`] did.
#[derive(Debug, Default)]
pub struct Restored {
    /// Releases that serve again.
    pub serving: usize,
    /// Those that do not, by the project's slug, and why.
    pub failed: Vec<(String, StepError)>,
}

impl Engine {
    /// Brings every live release up and sends its project's requests to it. Called once
    /// at start, before the first worker; a release that is up already is left as it is.
    ///
    /// One whose target is away is tried again by jobs, between its project's deployments,
    /// until it serves.
    ///
    /// # Errors
    ///
    /// The store's. A release that cannot be brought up stops none of the others.
    pub async fn restore(&self) -> Result<Restored, EngineError> {
        let mut restored = Restored::default();
        let mut page = Page::first(100);
        loop {
            let live = self.inner().store.live_releases(page).await?;
            let Some(last) = live.last() else {
                return Ok(restored);
            };
            page = page.after(last.release.id);
            for one in live {
                match self.inner().bring_up(&one).await {
                    Ok(()) => restored.serving += 1,
                    Err(error) => {
                        if matches!(&error, StepError::Fault(fault) if fault.retryable) {
                            self.inner().bring_up_later(&one).await?;
                        }
                        restored.failed.push((one.slug.to_string(), error));
                    }
                }
            }
        }
    }
}

impl Inner {
    /// Where it is up and routed already, changes nothing.
    pub(crate) async fn bring_up(&self, live: &LiveRelease) -> Result<(), StepError> {
        let Some(executor) = self.executors.get(&live.release.target) else {
            // Another node's target.
            return Ok(());
        };
        let spec = self.release_spec(&live.release, &live.slug)?;
        self.start(live, &spec, &**executor).await.map_err(|error| {
            let secrets = spec.env.iter().map(|(_, value)| value.expose());
            redacted(error, &Redactor::new(secrets))
        })
    }

    async fn start(
        &self,
        live: &LiveRelease,
        spec: &ReleaseSpec,
        executor: &dyn Executor,
    ) -> Result<(), StepError> {
        let ctx = StepContext {
            deployment: live.release.deployment,
            attempt: 0,
            cancel: CancellationToken::new(),
            handed_over: CancellationToken::new(),
            log: LogWriter::discard(),
        };
        // Until it is tried again later the site is down.
        let endpoint = retry::thrice(&ctx.cancel, || executor.start(spec, &ctx)).await?;
        if let (Some(ingress), Some(endpoint)) = (&self.ingress, endpoint.for_ingress()) {
            let (tenant, project) = (&live.release.tenant, live.release.project);
            let domains = self.verified_domains(tenant, project).await;
            let domains =
                domains.map_err(|error| Fault::retryable("reading domains", &live.slug, error))?;
            let route = Route {
                slug: live.slug.clone(),
                release: live.release.number,
                endpoint,
                domains,
                turn: Turn::after(live.release.live_turn.unwrap_or_default()),
            };
            retry::thrice(&ctx.cancel, || ingress.route(route.clone())).await?;
        }
        Ok(())
    }
}
