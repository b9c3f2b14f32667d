//! What every ingress must do: the rules of [`ingress`](crate::ingress), as checks.

mod checks;
mod server;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::suite;
use crate::ingress::Ingress;
use crate::value::Slug;

pub use server::{HttpServer, http_get};

/// Asks an ingress for `/` of a project, as a visitor does: the body of an answer
/// with status 200, or else what came instead.
pub type Visit = Box<dyn Fn(&Slug) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// An ingress to check, without any route.
pub struct IngressHarness {
    /// The ingress.
    pub ingress: Arc<dyn Ingress>,
    /// How a visitor reaches it.
    pub visit: Visit,
    /// Whether requests run through it, so that it can wait for them and cut them.
    pub drains: bool,
}

impl fmt::Debug for IngressHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngressHarness").field("drains", &self.drains).finish_non_exhaustive()
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
