//! An ingress inside the process: one port, all projects.

mod backend;
mod files;
mod headers;
mod proxy;
mod server;
mod table;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::error::{Fault, StepResult};
use deployr_core::ingress::{Ingress, Route};
use deployr_core::value::{DomainName, Network, Slug};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::server::{Server, Settings};

/// A reverse proxy and static file server in this process, on one port for all
/// projects. A project is reached at `<slug>.<domain>` and at its own domains, in upper or
/// lower case, with or without the port.
///
/// ```
/// use std::time::Duration;
///
/// use deployr_core::executor::Endpoint;
/// use deployr_core::ingress::{Ingress, Route};
/// use deployr_core::model::Turn;
/// use deployr_core::value::{DomainName, Slug};
/// use deployr_exec::ingress::BuiltinIngress;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let domain = DomainName::localhost();
/// let ingress = BuiltinIngress::bind("127.0.0.1:0".parse()?).await?.domain(&domain);
/// let slug = Slug::parse("shop")?;
/// let endpoint = Endpoint::Http { address: "127.0.0.1:3000".parse()? };
/// ingress.route(Route { slug: slug.clone(), release: 1, endpoint, domains: vec![], turn: Turn::new(1, 1) }).await?;
///
/// let port = ingress.local_addr().port();
/// assert_eq!(ingress.url(&slug), Some(format!("http://shop.localhost:{port}")));
/// ingress.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
///
/// # Requests
///
/// Each request is answered by the release that was routed when it began, to its last
/// byte; the header `x-deployr-release` tells which. WebSocket and other upgrades are
/// passed through and count as requests until they close. While an app is being started
/// again its requests wait for up to five seconds.
///
/// The request's host, peer and scheme go to the app as `Host` and `X-Forwarded-*`.
/// There is no TLS: put a server that ends TLS in front of it for use beyond this host,
/// among the [`trusted_proxies`](Self::trusted_proxies) so that the app learns of it.
///
/// # Files
///
/// No name that begins with a dot is served, save `/.well-known/`, and no link is
/// followed that leads out of the release; to one place outside it may: `shared` beside
/// the folder that holds the releases (`<project>/releases/<number>` and
/// `<project>/shared`). Browsers are told to ask each time whether a file has changed.
///
/// # End
///
/// It serves from [`bind`](Self::bind) on, until [`shutdown`](Self::shutdown) or until
/// it is dropped, which cuts all requests.
pub struct BuiltinIngress {
    server: Arc<Server>,
    address: SocketAddr,
}

impl BuiltinIngress {
    /// Listens on an address, and answers from then on. Must be called within a Tokio
    /// runtime. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// A fault, not retryable when the port is in use or not allowed.
    pub async fn bind(address: SocketAddr) -> Result<Self, Fault> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bound.await.map_err(|error| bind_fault(address, error))?;
        let settings = Settings {
            domain: "localhost".into(),
            health: None,
            patience: Duration::from_secs(60),
            trusted: Network::LOOPBACK.into(),
            ready: None,
        };
        Ok(Self {
            server: Server::start(listener, settings),
            address,
        })
    }

    /// The domain below which projects have their names. `localhost` when not called.
    #[must_use]
    pub fn domain(self, domain: &DomainName) -> Self {
        let domain = domain.as_str().into();
        self.server.set(|settings| settings.domain = domain);
        self
    }

    /// The proxies in front of it. What they say in `X-Forwarded-*`, `Forwarded` and
    /// `X-Real-IP` of the request that they got is passed on to the app, with themselves
    /// added; what anybody else says there is taken out.
    /// [This host](Network::LOOPBACK) when not called.
    #[must_use]
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item = Network>) -> Self {
        let networks = networks.into_iter().collect();
        self.server.set(|settings| settings.trusted = networks);
        self
    }

    /// Answers `GET /healthz` with this JSON for hosts that are not below the domain,
    /// such as the domain itself and plain addresses: `Ok` with status 200, `Err` with 503,
    /// by which monitors go. Asked at each request, so it must not wait for anything.
    #[must_use]
    pub fn with_health(
        self,
        health: impl Fn() -> Result<Value, Value> + Send + Sync + 'static,
    ) -> Self {
        self.server
            .set(|settings| settings.health = Some(Arc::new(health)));
        self
    }

    /// How long an app may be silent before its answer begins; then visitors get a
    /// `504`. A minute when not called. An upload that goes on is no silence.
    #[must_use]
    pub fn response_timeout(self, limit: Duration) -> Self {
        self.server.set(|settings| settings.patience = limit);
        self
    }

    /// Says that routes are still to come, as after a restart: until
    /// [`ready`](Self::ready) a request for a name without a route waits for one, at most
    /// five seconds, and then gets a `503` with `Retry-After` in place of the `404`.
    #[must_use]
    pub fn starting(self) -> Self {
        self.server
            .set(|settings| settings.ready = Some(CancellationToken::new()));
        self
    }

    /// Says that all routes are there. A second call changes nothing.
    pub fn ready(&self) {
        self.server.set(|settings| {
            if let Some(ready) = settings.ready.take() {
                ready.cancel();
            }
        });
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, waits for requests that are under way at most for
    /// `grace`, then cuts those that are left.
    pub async fn shutdown(&self, grace: Duration) {
        self.server.shutdown(grace).await;
    }
}

impl Drop for BuiltinIngress {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[async_trait]
impl Ingress for BuiltinIngress {
    fn name(&self) -> &str {
        "builtin"
    }

    fn url(&self, slug: &Slug) -> Option<String> {
        let domain = self.server.settings().domain;
        Some(match self.address.port() {
            80 => format!("http://{slug}.{domain}"),
            port => format!("http://{slug}.{domain}:{port}"),
        })
    }

    async fn route(&self, route: Route) -> StepResult<()> {
        Ok(self.server.table.route(route)?)
    }

    async fn drain(&self, slug: &Slug, limit: Duration) -> StepResult<usize> {
        Ok(self.server.table.drain(slug, limit).await)
    }

    async fn remove(&self, slug: &Slug) -> StepResult<()> {
        self.server.table.remove(slug);
        Ok(())
    }

    async fn routes(&self) -> StepResult<Vec<Route>> {
        Ok(self.server.table.routes())
    }
}

fn bind_fault(address: SocketAddr, error: io::Error) -> Fault {
    let port = address.port();
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use; stop the program that listens on it, or choose another")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} is not allowed to this user; choose one above 1023")
        }
        _ => return Fault::io("bind", address, error),
    };
    Fault::permanent("bind", address, reason).because(error)
}
