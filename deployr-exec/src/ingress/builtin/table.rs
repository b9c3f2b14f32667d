//! Which release answers for which name, and which ones still end their requests.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use deployr_core::error::Fault;
use deployr_core::ingress::Route;
use deployr_core::value::{CustomDomain, Slug};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, Pass};

pub(super) struct Table {
    sites: RwLock<Sites>,
    /// Cuts every request.
    cut: CancellationToken,
}

#[derive(Default)]
struct Sites {
    entries: HashMap<Slug, Entry>,
    /// Each is that of the project which was routed with it last.
    domains: HashMap<CustomDomain, Slug>,
}

/// For which site a request is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'r> {
    Slug(&'r Slug),
    Domain(&'r str),
}

#[derive(Default)]
struct Entry {
    /// None once the name has been removed while requests were under way.
    present: Option<(Route, Arc<Backend>)>,
    /// Get no new requests. Kept until they have been drained.
    former: Vec<Arc<Backend>>,
}

impl Table {
    pub(super) fn new(cut: CancellationToken) -> Self {
        Self {
            sites: RwLock::default(),
            cut,
        }
    }

    /// Takes a request in. It is counted under the lock, so that a backend which a
    /// switch finds idle stays idle.
    pub(super) fn enter(&self, wanted: Wanted<'_>) -> Option<Pass> {
        let sites = self.read();
        let slug = match wanted {
            Wanted::Slug(slug) => slug,
            Wanted::Domain(name) => sites.domains.get(name)?,
        };
        let (_, backend) = sites.entries.get(slug)?.present.as_ref()?;
        Some(Pass::new(Arc::clone(backend)))
    }

    pub(super) fn route(&self, route: Route) -> Result<(), Fault> {
        let mut sites = self.write();
        let Sites {
            entries: table,
            domains,
        } = &mut *sites;
        let present = table
            .get(&route.slug)
            .and_then(|entry| entry.present.as_ref());
        if let Some((present, _)) = present
            && route.turn < present.turn
        {
            return Err(Fault::permanent(
                "route",
                &route.slug,
                format_args!(
                    "{} comes after {}, which already serves release {}",
                    route.turn, present.turn, present.release
                ),
            ));
        }
        let is_same = |backend: &Arc<Backend>| backend.is(route.release, &route.endpoint);
        // A release that is routed again is no former one: its requests are left alone.
        let again = table.get_mut(&route.slug).and_then(|entry| {
            if let Some((_, backend)) = entry.present.take_if(|(_, backend)| is_same(backend)) {
                return Some(backend);
            }
            let at = entry.former.iter().position(is_same)?;
            Some(entry.former.swap_remove(at))
        });
        let backend = match again {
            Some(backend) => backend,
            None => {
                let cut = self.cut.child_token();
                Arc::new(Backend::new(route.release, route.endpoint.clone(), cut)?)
            }
        };
        domains.retain(|_, slug| *slug != route.slug);
        let named = route.domains.iter().cloned();
        domains.extend(named.map(|domain| (domain, route.slug.clone())));
        let entry = table.entry(route.slug.clone()).or_default();
        entry.retire();
        entry.present = Some((route, backend));
        Ok(())
    }

    pub(super) fn remove(&self, slug: &Slug) {
        let mut sites = self.write();
        sites.domains.retain(|_, of| of != slug);
        let table = &mut sites.entries;
        if let Some(entry) = table.get_mut(slug) {
            entry.retire();
            if entry.former.is_empty() {
                table.remove(slug);
            }
        }
    }

    pub(super) async fn drain(&self, slug: &Slug, limit: Duration) -> usize {
        let former = match self.read().entries.get(slug) {
            Some(entry) => entry.former.clone(),
            None => return 0,
        };
        let all_idle = async {
            for backend in &former {
                backend.idle().await;
            }
        };
        let _ = timeout(limit, all_idle).await;
        // Only what was waited for and still is a former one.
        let table = &mut self.write().entries;
        let Some(entry) = table.get_mut(slug) else {
            return 0;
        };
        let waited_for =
            |backend: &mut Arc<Backend>| former.iter().any(|f| Arc::ptr_eq(f, backend));
        let cut = entry
            .former
            .extract_if(.., waited_for)
            .map(|backend| backend.cut())
            .sum();
        if entry.present.is_none() && entry.former.is_empty() {
            table.remove(slug);
        }
        cut
    }

    pub(super) fn routes(&self) -> Vec<Route> {
        let table = self.read();
        let present = table
            .entries
            .values()
            .filter_map(|entry| entry.present.as_ref());
        let mut routes: Vec<Route> = present.map(|(route, _)| route.clone()).collect();
        routes.sort_by(|a, b| a.slug.cmp(&b.slug));
        routes
    }

    // Nothing panics with the lock held, so a poisoned table is a whole one.
    fn read(&self) -> RwLockReadGuard<'_, Sites> {
        self.sites.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sites> {
        self.sites.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Makes the present backend a former one, and forgets those with nothing to end.
    fn retire(&mut self) {
        self.former
            .extend(self.present.take().map(|(_, backend)| backend));
        self.former.retain(|backend| !backend.is_idle());
    }
}
