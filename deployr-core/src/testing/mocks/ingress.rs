use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::script::{Script, lock};
use crate::error::{Fault, StepResult};
use crate::ingress::{Ingress, Route};
use crate::value::Slug;

/// An ingress in memory. A clone has the same routes.
#[derive(Debug, Clone, Default)]
pub struct ScriptedIngress {
    script: Script,
    routes: Arc<Mutex<BTreeMap<Slug, Route>>>,
}

impl ScriptedIngress {
    /// What was asked, and how it shall fail. Calls: `route`, `drain`, `remove`, `routes`.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Where a project's requests go.
    #[must_use]
    pub fn routed(&self, slug: &Slug) -> Option<Route> {
        lock(&self.routes).get(slug).cloned()
    }

    /// Forgets all routes, as an ingress does that is restarted.
    pub fn forget(&self) {
        lock(&self.routes).clear();
    }
}

#[async_trait]
impl Ingress for ScriptedIngress {
    fn name(&self) -> &str {
        "scripted"
    }

    fn url(&self, slug: &Slug) -> Option<String> {
        Some(format!("http://{slug}.localhost/"))
    }

    async fn route(&self, route: Route) -> StepResult<()> {
        let about = format!(
            "{} {} turn {}",
            route.slug, route.release, route.turn.deployment
        );
        self.script.called("route", &about)?;
        let mut routes = lock(&self.routes);
        if let Some(present) = routes.get(&route.slug).filter(|old| old.turn > route.turn) {
            let reason = format!(
                "the turn of {} is over: {} has switched",
                route.turn, present.turn
            );
            return Err(Fault::permanent("route", &route.slug, reason).into());
        }
        routes.insert(route.slug.clone(), route);
        Ok(())
    }

    async fn drain(&self, slug: &Slug, _limit: Duration) -> StepResult<usize> {
        self.script.called("drain", slug.as_str())?;
        Ok(0)
    }

    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        self.script.called("remove", slug.as_str())?;
        lock(&self.routes).remove(slug);
        Ok(())
    }

    async fn routes(&self) -> StepResult<Vec<Route>> {
        self.script.called("routes", "")?;
        Ok(lock(&self.routes).values().cloned().collect())
    }
}
