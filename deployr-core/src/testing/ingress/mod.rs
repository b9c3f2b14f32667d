//! What every ingress must do: the rules of [`ingress`](crate::ingress), as checks.

mod checks;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::suite;
use crate::ingress::Ingress;
use crate::value::Slug;

pub use server::{HttpServer, http_get};

type Visit = Box<dyn Fn(Slug) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

type VisitHost = Box<dyn Fn(String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// An ingress to check, without any route.
pub struct IngressHarness {
    ingress: Arc<dyn Ingress>,
    visit: Visit,
    visit_host: Option<VisitHost>,
    drains: bool,
    cuts: bool,
}

impl IngressHarness {
    /// An ingress, and how a visitor asks it for `/` of a project: the body of an answer
    /// with status 200, or else what came instead.
    pub fn new<F, Fut>(ingress: Arc<dyn Ingress>, visit: F) -> Self
    where
        F: Fn(Slug) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self {
            ingress,
            visit: Box::new(move |slug| Box::pin(visit(slug))),
            visit_host: None,
            drains: true,
            cuts: true,
        }
    }

    /// An ingress that answers HTTP at `address` for hosts called `<slug>.<domain>`.
    #[must_use]
    pub fn listening(ingress: Arc<dyn Ingress>, address: SocketAddr, domain: &str) -> Self {
        let domain = domain.to_owned();
        let visit = move |host: String| {
            let visit = tokio::task::spawn_blocking(move || http_get(address, &host));
            async { visit.await.unwrap_or_else(|error| Err(error.to_string())) }
        };
        Self {
            visit_host: Some(Box::new(move |host| Box::pin(visit(host)))),
            ..Self::new(ingress, move |slug| visit(format!("{slug}.{domain}")))
        }
    }

    /// For one that only tells others where requests go: it can neither wait for
    /// requests nor cut them, and is not asked to.
    #[must_use]
    pub fn without_drain(self) -> Self {
        Self {
            drains: false,
            ..self
        }
    }

    /// For one that waits for requests but cannot cut them: those that are left end when
    /// their release is stopped.
    #[must_use]
    pub fn without_cuts(self) -> Self {
        Self {
            cuts: false,
            ..self
        }
    }
}

impl fmt::Debug for IngressHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngressHarness")
            .field("drains", &self.drains)
            .field("cuts", &self.cuts)
            .finish_non_exhaustive()
    }
}

/// Runs every check, each on an ingress of its own that `make` gives.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = IngressHarness>,
{
    let mut failed = Vec::new();
    for (name, check) in checks::checks() {
        let harness = Arc::new(make().await);
        if let Err(reason) = suite::outcome(check(harness)).await {
            failed.push(format!("{name}: {reason}"));
        }
    }
    suite::tell(&failed);
}
