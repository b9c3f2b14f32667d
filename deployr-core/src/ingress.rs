//! What sends a public name's traffic to a release.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepResult;
use crate::executor::Endpoint;
use crate::model::Turn;
use crate::value::{CustomDomain, Slug};

/// A public name and where its requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The project's name in host names.
    pub slug: Slug,
    /// The release's number; told in the answer to [`Ingress::routes`].
    pub release: i64,
    /// Where requests go.
    pub endpoint: Endpoint,
    /// The names besides that its requests come for. Each is one project's at a time.
    #[serde(default)]
    pub domains: Vec<CustomDomain>,
    /// Whose turn it is. A lower one than that of the present route is refused.
    pub turn: Turn,
}

/// Sends each request for a project's name to one release, whole.
///
/// # Order of calls
///
/// [`route`](Self::route) when a release goes live, and again for each live release
/// after a restart; then [`drain`](Self::drain), after which the old release may be
/// stopped. [`remove`](Self::remove) when a project goes.
///
/// Calls for one project do not overlap; calls for different projects do.
///
/// # A second call
///
/// Each call may be made again and then brings about the same.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use deployr_core::error::{Fault, StepResult};
/// use deployr_core::ingress::{Ingress, Route};
/// use deployr_core::value::Slug;
///
/// /// A table that some proxy reads at each request.
/// #[derive(Default)]
/// struct Table(Mutex<BTreeMap<Slug, Route>>);
///
/// #[async_trait]
/// impl Ingress for Table {
///     fn name(&self) -> &str { "table" }
///
///     fn url(&self, slug: &Slug) -> Option<String> {
///         Some(format!("https://{slug}.example.com"))
///     }
///
///     async fn route(&self, route: Route) -> StepResult<()> {
///         let mut table = self.0.lock().unwrap();
///         if table.get(&route.slug).is_some_and(|present| route.turn < present.turn) {
///             Err(Fault::permanent("routing", &route.slug, "a later turn was here"))?;
///         }
///         table.insert(route.slug.clone(), route);
///         Ok(())
///     }
///
///     async fn drain(&self, _: &Slug, _: Duration) -> StepResult<usize> {
///         Ok(0) // no request outlives its look into the table
///     }
///
///     async fn remove(&self, slug: &Slug) -> StepResult<()> {
///         self.0.lock().unwrap().remove(slug);
///         Ok(())
///     }
///
///     async fn routes(&self) -> StepResult<Vec<Route>> {
///         Ok(self.0.lock().unwrap().values().cloned().collect())
///     }
/// }
/// ```
#[async_trait]
pub trait Ingress: Send + Sync {
    /// A short name for logs: `builtin`.
    fn name(&self) -> &str;

    /// The URL at which people reach a project; none where this ingress gives none.
    fn url(&self, slug: &Slug) -> Option<String>;

    /// From its return on, every new request for the project's name or one of the route's
    /// domains goes to the route's endpoint; those that had begun end where they began. A
    /// domain that the route before had, and this one has not, is served no longer.
    ///
    /// # Errors
    ///
    /// A fault: not retryable when `turn` is lower than that of the present route.
    async fn route(&self, route: Route) -> StepResult<()>;

    /// Waits until no request is on its way to any former endpoint of the project, at
    /// most for `limit`, then cuts those that are left; an ingress that cannot leaves
    /// them to be cut when the release is stopped. Gives how many were left.
    ///
    /// # Errors
    ///
    /// A fault when the ingress cannot tell.
    async fn drain(&self, slug: &Slug, limit: Duration) -> StepResult<usize>;

    /// Stops serving a project's name. Unknown names are no error.
    ///
    /// # Errors
    ///
    /// A fault when the ingress did not take it.
    async fn remove(&self, slug: &Slug) -> StepResult<()>;

    /// All present routes, in the order of their names.
    ///
    /// # Errors
    ///
    /// A fault when the ingress cannot be asked.
    async fn routes(&self) -> StepResult<Vec<Route>>;
}
