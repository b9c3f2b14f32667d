//! An ingress through the admin API of a Caddy.

mod admin;
mod change;
mod config;
mod drain;
mod files;

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::error::{Fault, StepResult};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::value::{DomainName, Network, Slug};
use serde_json::Value;

use self::admin::{Admin, Failure};
pub use self::admin::{AdminAddress, InvalidAddress};
use self::config::{Entry, Site};

/// Routes of a Caddy, which it keeps by the admin API: one route a project, changed in one
/// request, with HTTPS as Caddy does it. Caddy 2.6 or later.
///
/// ```no_run
/// use deployr_core::ingress::Ingress;
/// use deployr_core::value::{DomainName, Slug};
/// use deployr_exec::ingress::{AdminAddress, CaddyIngress};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ingress = CaddyIngress::new(AdminAddress::default())
///     .domain(&DomainName::parse("apps.example.com")?);
/// assert_eq!(
///     ingress.url(&Slug::parse("shop")?).as_deref(),
///     Some("https://shop.apps.example.com"),
/// );
/// # Ok(())
/// # }
/// ```
///
/// # What it touches
///
/// Only routes whose `@id` begins with `deployr:` and the domain, in the
/// [`server`](Self::server) of that name, which it makes where there is none. Each change
/// names what it was made of (`If-Match`), so that it never undoes one of somebody else.
/// A route's turn is kept in the route, so that a lower one is refused by whichever engine.
///
/// # What it cannot
///
/// A change of Caddy's configuration, whoever makes it, starts all of its servers anew on the
/// same addresses:
///
/// * Connections that are open and idle are closed. A browser that was about to send a
///   request over one sends it again over another, as HTTP has it (RFC 9112, 9.3.1).
/// * A connection that has come, and which the old server has not taken yet, is reset, unless
///   the kernel hands it on: `sysctl net.ipv4.tcp_migrate_req=1` (Linux 5.14 or later).
/// * WebSockets are closed, those of all sites.
/// * A connection that was opened before, and brings its first request after, still comes to
///   the former release.
///
/// Requests that have begun end where they began. Caddy counts those that are with an app,
/// which [`drain`](Ingress::drain) waits for; it cuts none, so what is left is cut when the
/// release is stopped. Files that are being sent are sent to their end.
///
/// # Files
///
/// Caddy must be able to read the release's folder. As by the built-in ingress no name that
/// begins with a dot is served, save `/.well-known/`, and no link that leads out of the
/// release, save to `shared`; but Caddy only knows those links that were there when the
/// release was routed. Where a release's own processes can make links in what is served,
/// use the built-in ingress.
///
/// # A restart
///
/// Of the engine: sites are served meanwhile. Of Caddy: with `caddy run --resume`, as its
/// unit `caddy-api` does it, the routes are there again; else they come back when the engine
/// is started ([`Engine::restore`](deployr_core::engine::Engine::restore)).
#[derive(Debug, Clone)]
pub struct CaddyIngress {
    admin: Admin,
    site: Site,
}

impl CaddyIngress {
    /// An ingress by way of this admin API. Asks nothing yet.
    #[must_use]
    pub fn new(admin: AdminAddress) -> Self {
        Self {
            admin: Admin {
                address: admin,
                patience: Duration::from_secs(10),
            },
            site: Site {
                domain: DomainName::localhost(),
                server: "deployr".to_owned(),
                listen: (Ipv6Addr::UNSPECIFIED, 443).into(),
                tls: true,
                trusted: Vec::new(),
                patience: Duration::from_secs(60),
            },
        }
    }

    /// The domain below which projects have their names. `localhost` when not called.
    #[must_use]
    pub fn domain(mut self, domain: &DomainName) -> Self {
        self.site.domain = domain.clone();
        self
    }

    /// The server in Caddy's configuration (`apps.http.servers`) that gets the routes, which
    /// may be one that others use too. `deployr` when not called.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>) -> Self {
        self.site.server = name.into();
        self
    }

    /// Where the server listens, if there is none of the name and it has to be made. Port 443
    /// of all addresses when not called.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.site.listen = address;
        self
    }

    /// A server that has to be made speaks HTTP without TLS, for use behind another one.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.site.tls = false;
        self
    }

    /// The proxies in front of Caddy, whose `X-Forwarded-*` reach the app. None when not called.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.site.trusted = networks.into_iter().collect();
        self
    }

    /// How long an app may be silent before its answer begins. A minute when not called.
    #[must_use]
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.site.patience = limit;
        self
    }

    /// How long one call of the admin API may take. Ten seconds when not called.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.admin.patience = limit;
        self
    }

    /// Whether Caddy answers.
    ///
    /// # Errors
    ///
    /// A fault that says what to do.
    pub async fn check(&self) -> Result<(), Fault> {
        match self.admin.get("/config/admin").await {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(self.fault(failure, "ask", "Caddy")),
        }
    }

    fn fault(
        &self,
        failure: Failure,
        operation: &'static str,
        subject: impl std::fmt::Display,
    ) -> Fault {
        failure.into_fault(operation, subject, &self.admin.address)
    }

    async fn all(&self) -> Result<Vec<Route>, Failure> {
        let path = format!("{}/routes", self.site.server_path());
        let routes = match self.admin.get(path).await {
            Ok(part) => part.value,
            Err(Failure::Missing) => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let own = format!("{}:", self.site.own_id());
        let is_own = |route: &&Value| route["@id"].as_str().is_some_and(|id| id.starts_with(&own));
        let routes = routes.as_array().into_iter().flatten().filter(is_own);
        let mut routes: Vec<Route> = routes
            .filter_map(Entry::read)
            .map(|entry| entry.route)
            .collect();
        routes.sort_by(|a, b| a.slug.cmp(&b.slug));
        Ok(routes)
    }
}

#[async_trait]
impl Ingress for CaddyIngress {
    fn name(&self) -> &str {
        "caddy"
    }

    fn url(&self, slug: &Slug) -> Option<String> {
        let domain = &self.site.domain;
        let (scheme, usual) = if self.site.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        Some(match self.site.listen.port() {
            port if port == usual => format!("{scheme}://{slug}.{domain}"),
            port => format!("{scheme}://{slug}.{domain}:{port}"),
        })
    }

    async fn route(&self, route: Route) -> StepResult<()> {
        let place = || self.place(&route);
        Ok(self.until_unchanged("route", &route.slug, place).await?)
    }

    async fn drain(&self, slug: &Slug, limit: Duration) -> StepResult<usize> {
        let drained = self.wait_for_former(slug, limit).await;
        Ok(drained.map_err(|failure| self.fault(failure, "drain", slug))?)
    }

    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        let take_out = || self.take_out(slug);
        Ok(self.until_unchanged("unroute", slug, take_out).await?)
    }

    async fn routes(&self) -> StepResult<Vec<Route>> {
        let routes = self.all().await;
        Ok(routes.map_err(|failure| self.fault(failure, "list", "the routes"))?)
    }
}
